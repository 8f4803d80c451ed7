"""Datasets that are joined: who is whom, and what was looked for."""

from collections.abc import Sequence
from pathlib import Path

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.join import join, join_datasets


def dataset(name: str, patients: Sequence[str], classes: tuple[str, ...] = ("background", "a")) -> Dataset:
    cases = tuple(
        CaseEntry(f"{name}{number}", patient, "ct", Path(f"/{name}{number}.nii.gz"), Path("/label.nii.gz"))
        for number, patient in enumerate(patients)
    )
    return Dataset(name, classes, {"ct": Modality()}, cases)


def test_patients_of_several_datasets_are_told(tmp_path: Path) -> None:
    lines: list[str] = []
    north, south = dataset("north", ["1", "2", "2", "7"]), dataset("south", ["1", "2", "3"])
    joined = join([north, south], tmp_path / "both.json", say=lines.append)
    assert len({case.patient for case in joined.cases}) == 4
    assert lines[-1].startswith("note: 2 patients of several datasets (1, 2) are taken for one person each; where")
    lines.clear()
    join([north, dataset("south", ["4"])], tmp_path / "both.json", say=lines.append)
    assert not [line for line in lines if line.startswith("note")]


def test_a_case_that_nothing_was_looked_for_in_stays_one() -> None:
    nothing = CaseEntry("n", "n", "ct", Path("/n.nii.gz"), annotated=())
    one = Dataset("one", ("background", "a"), {"ct": Modality()}, (nothing,))
    joined = join_datasets([one, dataset("two", ["3"], ("background", "a", "b"))], "both")
    assert [case.annotated for case in joined.cases] == [(), None]
