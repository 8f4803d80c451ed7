"""The index of a tree of DICOM files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unpaired.dicom.index import Frame, Index, Series


def series(**changes) -> Series:
    frames = tuple(Frame(Path(f"{number // 2}.dcm"), number % 2, str(number // 2), "", (4, 3)) for number in range(6))
    affine = ((2.0, 0.0, 0.0, 5.0), (0.0, 1.0, 0.0, 7.0), (0.0, 0.0, 3.0, 9.0), (0.0, 0.0, 0.0, 1.0))
    return replace(Series("1.2", "1", "1.3", "p", "CT", frames, affine=affine), **changes)


def test_a_series_knows_its_files_its_shape_and_its_name() -> None:
    assert series().files == (Path("0.dcm"), Path("1.dcm"), Path("2.dcm"))
    assert series().shape == (4, 3, 6)
    assert series().name == "1.2"
    assert series(part=2, parts=3).name == "1.2/2"


def test_left_and_posterior_turn_to_right_and_anterior() -> None:
    assert np.array_equal(series().affine_ras(), [[-2, 0, 0, -5], [0, -1, 0, -7], [0, 0, 3, 9], [0, 0, 0, 1]])
    with pytest.raises(ValueError, match=r"series 1.2 is no volume: a localizer"):
        series(affine=None, problem="a localizer").affine_ras()


def test_an_index_tells_volumes_from_the_rest_and_knows_a_series_by_its_uid() -> None:
    volume, localizer = series(), series(uid="1.4", problem="a localizer")
    index = Index(Path("tree"), (volume, localizer))
    assert list(index.volumes()) == [volume]
    assert index.of_uid("1.4") == [localizer]
    assert index.of_uid("1.5") == []
