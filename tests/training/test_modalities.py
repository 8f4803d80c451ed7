"""No modality that takes part is dropped from training without being told."""

from dataclasses import replace

import pytest

from unpaired.data.dataset import Dataset, with_splits, without_labels
from unpaired.errors import InputError
from unpaired.recipes.phantom import csa
from unpaired.training.modalities import left_out, modalities_to_train


def test_a_modality_without_a_labeled_training_case_is_refused_unless_others_are_named(phantom: Dataset) -> None:
    assert set(modalities_to_train(csa(), phantom)) == set(phantom.modalities)
    ct = {case.id for case in phantom.of("ct", "train")}
    for without in (without_labels(phantom, ct), with_splits(phantom, dict.fromkeys(ct, "test"))):
        with pytest.raises(
            InputError, match=r"no labeled training case of modality 'ct': .*--set 'modalities="
        ) as caught:
            modalities_to_train(csa(), without)
        assert "\n" not in str(caught.value)
        named = replace(csa(), modalities=("bssfp", "lge"))
        assert modalities_to_train(named, without) == ("bssfp", "lge")
        assert modalities_to_train(csa(), without, begun=True) == ("bssfp", "lge")
        assert "not trained: ct" in str(left_out(without, ("bssfp", "lge")))
    assert left_out(phantom, tuple(phantom.modalities)) is None


def test_a_modality_that_takes_no_part_is_named_but_not_refused(phantom: Dataset) -> None:
    cases = tuple(replace(case, split=None) if case.modality == "ct" else case for case in phantom.cases)
    assert modalities_to_train(csa(), replace(phantom, cases=cases)) == ("bssfp", "lge")
