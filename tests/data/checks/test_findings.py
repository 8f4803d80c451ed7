"""What people and programs read about a dataset: complete, errors first, at home in any terminal."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from unpaired.data.checks.findings import Finding, Findings, print_findings, summary
from unpaired.data.dataset import CaseEntry, Dataset, Modality

FOLDER = Path("/somewhere/on a/disk")
CASES = tuple(
    CaseEntry(name, name, "ct", FOLDER / f"ct/{name}.nii.gz", FOLDER / f"label/{name}.nii.gz") for name in "abc"
)
DATASET = Dataset("study", ("background", "liver"), {"ct": Modality()}, CASES)
FINDINGS = [
    Finding("warning", "spacing", "b", CASES[1].image, "spacing 9 x 9 x 9 mm is far from the usual [bold]; check it"),
    Finding("error", "unreadable", "c", CASES[2].image, f"{CASES[2].image}: truncated; copy it again"),
    Finding("error", "nan", "b", CASES[1].image, "NaN or infinity in 3 of 9 voxels; replace them by air's value"),
    Finding("warning", "few-labeled", None, None, "ct: 1 labeled case with liver; label more"),
]


def printed(findings: list[Finding], width: int, dataset: Dataset = DATASET) -> str:
    stream = io.StringIO()
    print_findings(Findings(dataset, findings), Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_holds_every_word_at_any_width_with_errors_first(width: int) -> None:
    text = printed(FINDINGS, width)
    first, *body, last = text.splitlines()
    assert first == f"study: 3 cases of ct in {FOLDER}"
    assert last == "2 errors, 2 warnings in 2 of 3 cases"
    assert all(len(line) <= width for line in body)
    rules = [line.split()[1] for line in body if line.split()[:1] in (["error"], ["warning"])]
    assert rules == ["unreadable", "nan", "spacing", "few-labeled"]
    table = " ".join(text.split())
    for finding in FINDINGS:
        for word in finding.message.replace(f"{FOLDER}/", "").split():
            assert word in table
    assert str(FOLDER) not in "\n".join(body)


def test_a_clean_dataset_gets_one_good_word() -> None:
    assert printed([], 80).splitlines() == [f"study: 3 cases of ct in {FOLDER}", "no findings: all 3 cases are sound"]


def test_counts_are_grammatical() -> None:
    one = Dataset("d", DATASET.classes, DATASET.modalities, CASES[:1])
    assert summary(one, []) == "no findings: the only case is sound"
    assert summary(one, FINDINGS[3:]) == "0 errors, 1 warning in 0 of 1 case"
    assert summary(DATASET, FINDINGS[1:2]) == "1 error, 0 warnings in 1 of 3 cases"


def test_files_that_share_no_folder_are_named_in_full() -> None:
    cases = (CaseEntry("a", "a", "ct", Path("/x/a.nii")), CaseEntry("b", "b", "ct", Path("y/b.nii")))
    dataset = Dataset("d", DATASET.classes, DATASET.modalities, cases)
    text = printed([Finding("error", "missing", "a", Path("/x/a.nii"), "/x/a.nii: not there")], 80, dataset)
    assert text.startswith("d: 2 cases of ct\n")
    assert "/x/a.nii: not there" in text


def test_json_holds_all_fields_in_the_order_found() -> None:
    documents = Findings(DATASET, FINDINGS).to_json()
    assert [document["rule"] for document in documents] == ["spacing", "unreadable", "nan", "few-labeled"]
    assert documents[1] == {
        "severity": "error",
        "rule": "unreadable",
        "case": "c",
        "file": str(CASES[2].image),
        "message": FINDINGS[1].message,
    }
    assert (documents[3]["case"], documents[3]["file"]) == (None, None)
    assert Findings(DATASET).to_json() == []
    assert json.loads(json.dumps(documents)) == documents
