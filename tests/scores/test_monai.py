"""Voxel surfaces equal MONAI's to single precision, where MONAI is installed."""

import numpy as np
import pytest
from scipy import ndimage

from unpaired.scores.case_scores import evaluate_case
from unpaired.scores.scoring import Scoring


@pytest.mark.filterwarnings("ignore")  # MONAI's own
@pytest.mark.parametrize("spacing", [(0.8, 1.3, 3.0), (0.8, 1.3)])
def test_equals_monai(spacing):
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    random = np.random.default_rng(0)
    shape = (24, 20, 12)[: len(spacing)]
    fields = ndimage.gaussian_filter(random.normal(size=(2, 3, *shape)), (0, 0, *(2.0,) * len(shape)))
    prediction, reference = fields.argmax(axis=1)
    one_hot = [torch.from_numpy(np.stack([array == n for n in range(3)])[None]) for array in (prediction, reference)]
    expected = {
        "hd": metrics.compute_hausdorff_distance(*one_hot, spacing=spacing),
        "hd95": metrics.compute_hausdorff_distance(*one_hot, spacing=spacing, percentile=95),
        "assd": metrics.compute_average_surface_distance(*one_hot, spacing=spacing, symmetric=True),
        "dice": metrics.DiceMetric(include_background=False)(*one_hot),
        "iou": metrics.compute_iou(*one_hot, include_background=False),
        "nsd@1.5": metrics.compute_surface_dice(*one_hot, [1.5, 1.5], spacing=spacing),
    }
    scores = evaluate_case(prediction, reference, spacing, ("b", "x", "y"), scoring=Scoring(tolerances_mm=(1.5,)))
    for name, values in expected.items():
        assert [score.value(name) for score in scores] == pytest.approx(values[0].tolist(), rel=1e-6), name
