"""SSC's figures: correlations of classes, where each class attends, how class embeddings approach each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from unpaired.analyses.attention.computation import attention_maps, mean_correlations, trained_ssc
from unpaired.analyses.attention.figure import AttentionView, CorrelationView
from unpaired.analyses.cases import read_case, view_of
from unpaired.analyses.plan import Plan
from unpaired.errors import InputError
from unpaired.figures.curves import Curve, curves_of
from unpaired.figures.feature_maps import telling_slice
from unpaired.methods.structured_consistency import CLASS_DISTANCE, SSC
from unpaired.runs.run import Run


@dataclass
class ClassAttention:
    """What was found of the runs that have it; `notes` say which SSC runs have not, and why."""

    correlations: list[CorrelationView] = field(default_factory=list[CorrelationView])
    attention: list[AttentionView] = field(default_factory=list[AttentionView])
    distances: list[Curve] = field(default_factory=list[Curve])
    notes: list[str] = field(default_factory=list[str])

    def add(self, name: str, run: Run, plan: Plan, shown: Sequence[str], device: torch.device) -> None:
        """Look at a run; `shown` are the ids of the cases that are drawn. Nothing for a run of another method."""
        self.distances += [
            Curve(f"distance of class embeddings, {name}", curve.lines, smooth=False)
            for curve in curves_of(run.rows("log"), (), plan.dataset.classes)
            if curve.title == CLASS_DISTANCE and len(plan.modalities) > 1
        ]
        try:
            method = trained_ssc(run)
        except InputError as error:
            self.notes.append(f"{name}: no attention to show: {error}")
            return
        if method is None:
            return
        method = method.to(device)
        correlations = _correlations(name, run, method, plan)
        self.correlations += [correlations] if correlations is not None else []
        self.attention += _attention(name, run, method, plan, shown)


def _correlations(name: str, run: Run, method: SSC, plan: Plan) -> CorrelationView | None:
    recipe, classes = run.recipe, plan.dataset.classes
    matrices: list[list[np.ndarray | None]] = []
    for modality in plan.modalities:
        cases = (read_case(run, plan.dataset, entry) for entry in plan.cases[modality])
        matrices.append(mean_correlations(method, recipe, cases, len(classes)))
    kept = [
        number for number in range(len(method.scales)) if any(of[number] is not None for of in matrices)
    ]  # a row without L_img has no correlations, or at its first scale alone
    if not kept:
        return None
    scales = tuple(method.scales[number] for number in kept)
    chosen = [[of_modality[number] for number in kept] for of_modality in matrices]
    return CorrelationView(name, scales, plan.modalities, classes, chosen)


def _attention(name: str, run: Run, method: SSC, plan: Plan, shown: Sequence[str]) -> Iterator[AttentionView]:
    for case_id in shown:
        case = read_case(run, plan.dataset, plan.dataset.case(case_id))
        view = view_of(case, plan.dataset.classes)
        assert view.reference is not None
        depth = telling_slice(view.reference)
        maps = attention_maps(method, run.recipe, case, depth)
        yield AttentionView(name, tuple(method.scales), view, depth, tuple(maps))
