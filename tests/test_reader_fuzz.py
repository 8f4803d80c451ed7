"""Hostile files of every format, from a fixed seed: refused in one line, or read as what is there."""

from pathlib import Path

import numpy as np
import pytest

from reader_fuzz import Sample, mutated, outcome, samples

SAMPLES = samples()
COUNT = 25


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_hostile_files(tmp_path: Path, sample: Sample) -> None:
    outcomes = []
    for number in range(COUNT):
        content, guarded = mutated(sample, np.random.default_rng((7, number)))
        outcomes.append(outcome(sample, content, guarded, tmp_path))
    assert outcomes.count("refused") > COUNT // 4


def test_the_check_sees_damage_that_was_read(tmp_path: Path) -> None:
    """Voxels of an uncompressed file that are changed, and said to be guarded."""
    sample = next(sample for sample in SAMPLES if sample.name == "a.mha")
    content = sample.content[:-1] + bytes([sample.content[-1] ^ 1])
    with pytest.raises(AssertionError, match="damage that a checksum shows was read"):
        outcome(sample, content, True, tmp_path)
    assert outcome(sample, content, False, tmp_path) == "changed"
