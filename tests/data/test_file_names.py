"""Names that become files: what is refused, and what some file system takes for one name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unpaired.data.checks.verify import verify
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.file_names import LONGEST, require_distinct, require_file_name, same_file_key
from unpaired.data.images import write_image
from unpaired.data.manifest import write_dataset
from unpaired.errors import InputError
from unpaired.inference.jobs import plan


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "can't be a file name"),
        ("..", "can't be a file name"),
        ("a/b", "can't be a file name"),
        ("a\\b", "can't be a file name"),
        (" p1", "begins or ends with a blank"),
        ("p1 ", "begins or ends with a blank"),
        ("p1\u00a0", "begins or ends with a blank"),
        (".p1", "begins with a dot"),
        ("p1.", "ends with a dot"),
        ("nul", "device"),
        ("COM1.a", "device"),
        ("aux .b", "device"),
        ("lpt\u00b9", "device"),
        ("p\0", "which no name may"),
        ("p\n1", "which no name may"),
        ("é" * (LONGEST // 2 + 1), "is longer than the 160 bytes"),
    ],
)
def test_names_that_no_file_may_have(name: str, words: str) -> None:
    with pytest.raises(InputError, match=f"here: id .*{words}|here: id: .*{words}"):
        require_file_name(name, "here: id")


@pytest.mark.parametrize("name", ["p1", "P 1", "1.2.840.113", "null", "console", "com10", "aux1", "é" * (LONGEST // 2)])
def test_names_that_files_have(name: str) -> None:
    require_file_name(name, "id")


def test_names_that_some_file_system_takes_for_one() -> None:
    for first, second in (
        ("P1", "p1"),
        ("\u00e9", "e\u0301"),
        ("STRASSE", "stra\u00dfe"),
        ("\u00c9", "e\u0301"),
        ("p\u200b1", "p1"),
    ):
        assert same_file_key(first) == same_file_key(second)
        with pytest.raises(InputError, match="comes again as"):
            require_distinct([first, "x", second], "id", "rename")
    with pytest.raises(InputError, match="id 'a' appears twice; rename"):
        require_distinct(["a", "b", "a"], "id", "rename")
    require_distinct(["a", "b", "a1", "a01", "a_1"], "id", "rename")


def dataset_of(folder: Path, *ids: str) -> Dataset:
    cases = []
    for number, name in enumerate(ids):
        image = folder / f"{number}.nii.gz"
        write_image(image, np.full((4, 4, 4), number, np.int16), np.eye(4))
        cases.append(CaseEntry(name, f"patient {number}", "mr", image))
    return Dataset("d", ("background", "liver"), {"mr": Modality()}, tuple(cases))


def test_a_manifest_with_such_ids_is_not_even_written(tmp_path: Path) -> None:
    for ids, words in ((("P1", "p1"), "comes again as"), (("p1.",), "ends with a dot")):
        with pytest.raises(InputError, match=words):
            write_dataset(dataset_of(tmp_path, *ids), tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_signs_that_windows_refuses_are_a_finding(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, "a|b", "c")
    write_dataset(dataset, tmp_path / "m.json")
    lines = [(finding.case, finding.message) for finding in verify(dataset) if finding.rule == "file-name"]
    assert [case for case, _ in lines] == ["a|b"]
    assert "the id holds |, which no file can be called on Windows" in lines[0][1]
    fine = replace(dataset, cases=dataset.cases[1:])
    assert not [finding for finding in verify(fine) if finding.rule == "file-name"]


def test_images_of_one_folder_whose_label_maps_would_meet(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for name in ("P1.nii.gz", "p1.nii"):
        write_image(folder / name, np.zeros((4, 4, 4), np.int16), np.eye(4))
    with pytest.raises(InputError, match=r"would both be written to .* \(on a Mac and on Windows, which"):
        plan(folder, tmp_path / "out", "mr")
    (folder / "P1.nii.gz").rename(folder / "p1.nii.gz")
    with pytest.raises(InputError, match=r"would both be written to \S*p1.nii.gz; rename one"):
        plan(folder, tmp_path / "out", "mr")
    with pytest.raises(InputError, match=r"p1.nii is named twice; take one out"):
        plan((folder / "p1.nii", folder / "p1.nii"), tmp_path / "out", "mr")
