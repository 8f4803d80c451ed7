"""The manifest: read, written, merged labels and partial annotation, and every way to write it wrongly."""

import json
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unpaired.data.dataset import CaseEntry, Dataset, Modality, encode_values, with_splits, without_labels
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.data.manifest_json import dataset_from_json
from unpaired.errors import InputError

CLASSES = ["background", "liver", "left kidney", "right kidney", "spleen"]


def test_a_dataset_says_on_one_line_what_it_holds(phantom: Dataset) -> None:
    some = without_labels(phantom, {phantom.of("lge")[0].id})
    assert str(some) == (
        "phantom-heart: 12 cases of 12 patients; ct 4 (4 labeled), bssfp 4 (4 labeled), lge 4 (3 labeled); "
        "LV, myo, RV, LA, AA"
    )


def document(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "abdomen",
        "classes": CLASSES,
        "modalities": {"ct": {"clip": [-175, 250]}, "t2": {"clip_percentiles": [1, 99]}},
        "label_maps": {
            "chaos": {"0": "background", "63": "liver", "126": "right kidney", "189": "left kidney", "252": "spleen"},
            "merged": {"0": "background", "1": ["left kidney", "right kidney"], "6": "liver"},
        },
        "cases": [
            {"id": "a", "patient": "p1", "modality": "ct", "image": "ct/a.nii.gz", "label": "ct/a_seg.nii.gz"},
            {"patient": "p2", "modality": "t2", "image": "t2/b.nii.gz", "label": "t2/bs.nii.gz", "label_map": "chaos"},
            {
                "id": "c",
                "patient": "p3",
                "modality": "t2",
                "image": "t2/c.nii.gz",
                "label": "t2/cs.nii.gz",
                "label_map": "merged",
                "annotated": ["liver", "left kidney", "right kidney"],
                "split": "test",
                "fold": 2,
            },
            {"patient": 0, "modality": "t2", "image": "t2/d.nii.gz", "label": None},
        ],
    } | changes


def parsed(folder: Path, **changes: Any) -> Dataset:
    return dataset_from_json(document(**changes), folder / "dataset.json")


def test_reading_resolves_paths_and_fills_defaults(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(document()), encoding="utf-8")
    dataset = read_dataset(tmp_path)
    assert dataset == read_dataset(tmp_path / "dataset.json")
    assert [case.id for case in dataset.cases] == ["a", "b", "c", "d"]
    assert dataset.cases[0].image == tmp_path.resolve() / "ct/a.nii.gz"
    assert dataset.cases[0].annotated is None
    assert dataset.cases[3].label is None
    assert dataset.cases[3].patient == "0", "a patient may be called 0"
    assert dataset.modalities["ct"] == Modality("zscore", (-175.0, 250.0))
    assert dataset.modalities["t2"].clip_percentiles == (1.0, 99.0)
    assert (dataset.case("c").split, dataset.case("c").fold) == ("test", 2)


def test_of_selects_by_modality_split_and_label(tmp_path: Path) -> None:
    dataset = parsed(tmp_path)
    for modality, split, labeled in product((None, "ct", "t2"), (None, "train", "test"), (None, True, False)):
        expected = []
        for case in dataset.cases:
            fits = modality in (None, case.modality) and split in (None, case.split)
            if fits and (labeled is None or labeled == (case.label is not None)):
                expected.append(case)
        assert dataset.of(modality, split, labeled) == expected


def test_case_that_is_not_there_suggests_one(tmp_path: Path) -> None:
    entry = document()["cases"][0] | {"id": "patient12"}
    with pytest.raises(InputError, match="did you mean patient12"):
        parsed(tmp_path, cases=[entry]).case("patient21")


@pytest.mark.parametrize("name", ["out.json", "sub/folder"])
def test_written_and_read_back_it_is_the_same(tmp_path: Path, name: str) -> None:
    dataset = parsed(tmp_path)
    path = write_dataset(dataset, tmp_path / name)
    assert path == (tmp_path / "out.json" if name.endswith(".json") else tmp_path / "sub/folder/dataset.json")
    back = read_dataset(path)
    resolved = [(case.image.resolve(), case.label and case.label.resolve()) for case in back.cases]
    assert resolved == [(case.image, case.label) for case in dataset.cases]
    same_paths = tuple(
        replace(case, image=image, label=label) for case, (image, label) in zip(back.cases, resolved, strict=True)
    )
    assert replace(back, cases=same_paths) == dataset
    assert not Path(json.loads(path.read_text(encoding="utf-8"))["cases"][0]["image"]).is_absolute()
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == [path.name], "no temporary file is left"


def test_a_manifest_that_nothing_could_read_is_not_written(tmp_path: Path) -> None:
    case = CaseEntry("a", "p", "ct", Path("a.nii"))
    good = Dataset("d", ("background", "LV"), {"ct": Modality()}, (case,))
    for wrong, words in (
        (replace(good, classes=("background", "LV", "lv")), "class 'LV' comes again as 'lv'"),
        (replace(good, modalities={"c t": Modality()}), "modality 'c t' must be a word"),
        (replace(good, cases=(case, replace(case, id="A"))), "case id 'a' comes again as 'A'"),
        (replace(good, cases=()), "lists no cases"),
    ):
        with pytest.raises(InputError, match=words):
            write_dataset(wrong, tmp_path / "d.json")
    assert not (tmp_path / "d.json").exists()
    for text in ('{"labels": {"0": "background"}}', "[]", "{broken", "a scan"):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(InputError, match=r"d\.json is there and is no manifest; name another file"):
            write_dataset(good, tmp_path / "d.json")
        assert (tmp_path / "d.json").read_text() == text
    (tmp_path / "d.json").unlink()
    again = replace(good, name="again")
    assert read_dataset(write_dataset(again, write_dataset(good, tmp_path))).name == "again"


def test_the_manifest_moves_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    write_dataset(parsed(tmp_path / "old"), tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_dataset(tmp_path / "new").cases[0].image == tmp_path.resolve() / "new/ct/a.nii.gz"


def test_a_datalist_without_classes_is_sent_to_import(tmp_path: Path) -> None:
    lists = {"labels": {"0": "background", "1": "liver"}, "training": [{"image": "a.nii.gz", "modality": "CT"}]}
    (tmp_path / "list.json").write_text(json.dumps(lists), encoding="utf-8")
    with pytest.raises(InputError, match=r"a datalist without 'classes'; `unpaired import datalist .*list\.json DATA"):
        read_dataset(tmp_path / "list.json")


def test_a_monai_datalist_is_accepted_as_it_is(tmp_path: Path) -> None:
    rows = [
        {"patient": f"p{n}", "modality": "ct", "image": f"i{n}.nii", "label": f"l{n}.nii", "fold": 0} for n in range(3)
    ]
    datalist = {
        "description": "made for MONAI",
        "classes": ["background", "liver"],
        "training": rows[:1],
        "validation": rows[1:2],
        "testing": [rows[2] | {"site": "B"}],
    }
    dataset = dataset_from_json(datalist, tmp_path / "datalist.json")
    assert [case.split for case in dataset.cases] == ["train", "validation", "test"]
    assert dict(dataset.modalities) == {"ct": Modality()}


def test_label_sets_and_encoding_by_hand(tmp_path: Path) -> None:
    dataset = parsed(tmp_path)
    whole, merged = dataset.case("b"), dataset.case("c")
    assert encode_values(dataset, dataset.case("a")) == {0: (0,), 1: (1,), 2: (2,), 3: (3,), 4: (4,)}
    assert encode_values(dataset, whole) == {0: (0,), 63: (1,), 126: (3,), 189: (2,), 252: (4,)}
    # Nobody looked for the spleen in case c: its background may be spleen.
    assert encode_values(dataset, merged) == {0: (0, 4), 1: (2, 3), 6: (1,)}
    assert dataset.label_sets() == ((0,), (1,), (2,), (3,), (4,), (0, 4), (2, 3))


@given(annotated=st.sets(st.sampled_from(CLASSES[1:])))
def test_background_means_background_or_what_nobody_looked_for(annotated: set[str]) -> None:
    case = CaseEntry("x", "p", "ct", Path("x.nii"), Path("y.nii"), annotated=tuple(sorted(annotated)))
    dataset = Dataset("d", tuple(CLASSES), {"ct": Modality()}, (case,))
    expected = tuple(number for number, name in enumerate(CLASSES) if number == 0 or name not in annotated)
    assert encode_values(dataset, case)[0] == expected
    assert len(dataset.label_sets()) == len(CLASSES) + (len(expected) > 1)


def test_source_values_are_the_modality_s_own_and_never_collide(tmp_path: Path) -> None:
    dataset = parsed(tmp_path)
    assert dataset.source_values("t2") == [0, 63, 189, 126, 252]
    assert dataset.source_values("ct") == [0, 1, 2, 3, 4]
    # With merged kidneys only, the map has no value of its own for one kidney, nor for the spleen: class numbers,
    # moved past what already means something else (3 means either kidney, 4 the liver).
    maps = {"merged": {"0": "background", "3": ["left kidney", "right kidney"], "4": "liver"}}
    cases = [document()["cases"][2]]
    assert parsed(tmp_path, label_maps=maps, cases=cases).source_values("t2") == [0, 4, 2, 5, 6]


def two_readers(first: dict, second: dict, of_second: int = 1) -> Dataset:
    """One case read with the label map "a", the others with "b"."""
    maps = {"a": {value: (name,) for value, name in first.items()}, "b": {v: (name,) for v, name in second.items()}}
    cases = [
        CaseEntry(f"c{n}", f"p{n}", "ct", Path("x.nii"), Path("y.nii"), label_map="b" if n else "a")
        for n in range(1 + of_second)
    ]
    return Dataset("d", ("none", "liver", "spleen"), {"ct": Modality()}, tuple(cases), maps)


@pytest.mark.parametrize("of_second", [1, 2])
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({0: "none", 6: "liver", 1: "spleen"}, {0: "none", 1: "liver", 6: "spleen"}, [0, 1, 2]),  # swapped
        ({0: "none", 6: "liver"}, {0: "none", 1: "spleen"}, [0, 6, 1]),  # each has what the other lacks
        ({0: "none", 2: "liver"}, {0: "none", 7: "spleen"}, [0, 2, 7]),
        ({0: "none", 6: "liver"}, {0: "none", 6: "liver"}, [0, 6, 2]),
    ],
)
def test_source_values_do_not_depend_on_which_labeled_case_comes_first(
    first: dict, second: dict, expected: list[int], of_second: int
) -> None:
    dataset = two_readers(first, second, of_second)
    for order in permutations(dataset.cases):
        assert replace(dataset, cases=order).source_values("ct") == expected
    swapped = expected == [0, 1, 2]
    clash = dataset.value_clash("ct")
    assert (clash is not None) == swapped
    assert not swapped or "is liver in" in str(clash) or "is spleen in" in str(clash)


def test_a_class_that_two_label_maps_number_otherwise_has_the_number_of_most_cases() -> None:
    tables = {0: "none", 6: "liver"}, {0: "none", 7: "liver"}
    assert two_readers(*tables, of_second=1).source_values("ct") == [0, 6, 2], "a tie: the name decides"
    assert two_readers(*tables, of_second=2).source_values("ct") == [0, 7, 2]
    assert two_readers(*tables).value_clash("ct") is None, "no value stands for two things"


def test_a_modality_without_labels_has_class_numbers() -> None:
    dataset = two_readers({0: "none", 6: "liver"}, {0: "none", 6: "liver"})
    assert without_labels(dataset, {"c0", "c1"}).source_values("ct") == [0, 1, 2]


def test_identity_can_be_redefined(tmp_path: Path) -> None:
    dataset = parsed(
        tmp_path, label_maps={"identity": {"0": "background", "7": "liver"}}, cases=document()["cases"][:1]
    )
    assert dict(dataset.label_map_of(dataset.cases[0])) == {0: ("background",), 7: ("liver",)}


def test_with_splits_changes_the_named_cases_only(tmp_path: Path) -> None:
    dataset = with_splits(parsed(tmp_path), {"a": "train", "b": "validation"})
    assert [case.split for case in dataset.cases] == ["train", "validation", "test", None]


def test_modalities_in_capitals_are_read_in_small_letters(tmp_path: Path) -> None:
    cases = [{"patient": "a", "modality": "CT", "image": "a.nii"}, {"patient": "b", "modality": "Mr", "image": "b.nii"}]
    for modalities in ({"CT": {"clip": [0, 1]}, "MR": {}}, ["CT", "mr"], None):
        dataset = parsed(tmp_path, modalities=modalities, cases=cases)
        assert [case.modality for case in dataset.cases] == list(dataset.modalities) == ["ct", "mr"]
    assert parsed(tmp_path, modalities={"CT": {"clip": [0, 1]}, "MR": {}}, cases=cases).modalities["ct"].clip == (0, 1)


def case_with(**changes: Any) -> dict[str, Any]:
    return {"cases": [document()["cases"][0] | changes]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"classes": None}, "lacks 'classes'"),
        ({"classes": ["background"]}, "at least one more class"),
        ({"classes": ["background", "liver", "liver"]}, "class 'liver' appears twice; list each class once"),
        ({"classes": "liver"}, "classes: expected a list of background and"),
        ({"classes": {"background": 0, "liver": 1}}, "classes: expected a list of background and"),
        ({"classes": ["background", 1]}, r"classes\[1\]: expected text that isn't empty, got 1"),
        ({"modalities": {"CT": {}, "ct": {}}}, "modality 'CT' comes again as 'ct'"),
        ({"modalities": {"c t": {}}}, "modality 'c t' must be a word"),
        ({"modalities": {"aux": {}}}, "modality 'aux' is a device's name on Windows"),
        ({"modalities": {"x" * 161: {}}}, "longer than the 160 bytes"),
        ({"modalities": "ct"}, r"modalities: expected a JSON object .* or \[text, \.\.\.\], got 'ct'"),
        ({"modalities": [1, 2]}, r"modalities\[0\]: expected text, got 1"),
        ({"modalities": {"ct": "zscore"}}, "modalities.ct: expected a JSON object, got 'zscore'"),
        (
            {"modalities": {"ct": {"normalisation": "zscore"}}},
            "field 'normalisation'; did you mean normalization",
        ),
        ({"modalities": {"ct": {"normalization": "z-score"}}}, "did you mean zscore"),
        ({"modalities": {"ct": {"clip": [250, -175]}}}, "low < high"),
        ({"modalities": {"ct": {"clip": ["a", "b"]}}}, r"modalities.ct: clip\[0\]: expected a number, got 'a'"),
        ({"modalities": {"ct": {"clip": [0, 1, 2]}}}, r"clip: expected \[a number, a number\]"),
        ({"modalities": {"ct": {"clip": 5}}}, r"clip: expected \[a number, a number\]"),
        (
            {"modalities": {"ct": {"clip_percentiles": [-1, 99]}}},
            "expected numbers between 0 and 100",
        ),
        ({"label_maps": []}, None),
        ({"label_maps": [1]}, "label_maps: expected a JSON object"),
        ({"label_maps": {"m": ["liver"]}}, "label_maps.m: expected a JSON object"),
        ({"label_maps": {"m": {"one": "liver"}}}, "label values are integers, got 'one'"),
        ({"label_maps": {"m": {"1": "livre"}}}, "did you mean liver"),
        ({"label_maps": {"m": {"1": []}}}, "expected .* at least 1 of them, got .."),
        ({"label_maps": {"m": {"1": 1}}}, "expected text that isn't empty or .*, got 1"),
        ({"label_maps": {"m": {"1": "liver", "01": "spleen"}}}, "appears twice"),
        ({"cases": []}, "no cases"),
        ({"cases": {"a": {}}}, r"cases: expected \[a JSON object, .* got {'a': {}}"),
        ({"cases": ["a.nii.gz"]}, "expected a JSON object, got 'a.nii.gz'"),
        ({"cases": document()["cases"][:1] * 2}, "case id 'a' appears twice"),
        (case_with(patient=None), "case 'a': lacks 'patient'"),
        (case_with(image=""), "case 'a': lacks 'image'"),
        (case_with(image=["a.nii", "b.nii"]), "expected the path of one file"),
        (case_with(label=3), "expected the path of one file"),
        (case_with(lable="x.nii.gz"), "did you mean 'label'"),
        (case_with(modality="mr"), "modality 'mr'"),
        (case_with(label_map="kaos"), "did you mean chaos"),
        (case_with(annotated=["livre"]), "did you mean liver"),
        (case_with(annotated="livre"), "did you mean liver"),
        (case_with(annotated=1), "annotated: expected text, .* or null, got 1"),
        (case_with(split="training"), "split: expected .*, got 'training'; did you mean train"),
        (case_with(fold="one"), "fold: expected a whole number or null, got 'one'"),
        ({"classes": ["background", "liver", "Liver"]}, "class 'liver' comes again as 'Liver'"),
        ({"classes": ["background", "ré", "re\u0301"]}, r"class 'r\\xe9' comes again as 're\\u0301'"),
        (case_with(annotated=[]), "has a label although it is annotated for nothing"),
        (case_with(id="a/b"), "can't be a file name"),
        (case_with(id=".."), "can't be a file name"),
        (case_with(id="a\\b"), "can't be a file name"),
        (case_with(image="a\0.nii"), "no file can be called"),
        (case_with(patient=True), "patient: expected .*, got True"),
        ({"label_maps": {"m": {str(2**31): "liver"}}}, "of at most 32 bits"),
        ({"label_maps": {"m": {str(-(2**31)): "liver"}}}, "of at most 32 bits"),
        ({"name": "a\x1b[2J"}, "name: .* which no name may"),
    ],
)
def test_what_is_wrong_gets_one_line(tmp_path: Path, changes: dict[str, Any], message: str | None) -> None:
    if message is None:  # an empty list of label maps is an empty table of them
        changes = {**changes, **case_with()}
        assert len(parsed(tmp_path, **changes).cases) == 1
        return
    # Cases that use a label map would fail first where the label maps are what is wrong.
    changes = {"cases": document()["cases"][:1], **changes}
    with pytest.raises(InputError, match=message) as caught:
        parsed(tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert "dataset.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "expected JSON"), ("[]", "expected a JSON object"), ("{}", "expected 'cases'"), (None, "found no file")],
)
def test_files_that_are_no_manifest(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "dataset.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes(b"\x1f\x8b\x08\xff")
    with pytest.raises(InputError, match="expected JSON"):
        read_dataset(tmp_path / "dataset.json")


@pytest.mark.parametrize("sign", ["\0", "\n", "\t", "\x1b[2J", "\x7f", "\x85", "\ud800", "\u2028", "\u202e"], ids=ascii)
def test_names_hold_no_character_that_does_or_hides_something(sign: str, tmp_path: Path) -> None:
    case = document()["cases"][0]
    for changes in (
        {"cases": [case | {"id": f"a{sign}b"}]},
        {"cases": [case | {"patient": f"a{sign}b"}]},
        {"classes": ["background", f"a{sign}b"], "label_maps": {}, "cases": [case]},
    ):
        with pytest.raises(InputError, match=r"holds .*, which no name may") as caught:
            parsed(tmp_path, **changes)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("word", ["Background", "ignore", "mean", "all", "None"])
def test_no_structure_is_called_by_a_word_that_means_something_else(word: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"'classes' names '{word}', which") as caught:
        parsed(tmp_path, classes=[*CLASSES, word])
    assert "\n" not in str(caught.value)
    assert parsed(tmp_path, classes=[*CLASSES, f"{word} x"]).classes[-1] == f"{word} x"


def test_names_of_blanks_and_of_label_maps(tmp_path: Path) -> None:
    case = document()["cases"][0]
    for changes, message in (
        ({"classes": [*CLASSES, " LV"]}, "begins or ends with a blank"),
        ({"cases": [case | {"patient": "  "}]}, "'  ' is blank"),
        ({"cases": [case | {"annotated": ["background"]}]}, "is annotated for 'background'"),
        ({"label_maps": {**document()["label_maps"], "a\x1bb": {"0": "background"}}}, "which no name may"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            parsed(tmp_path, **changes)
        assert caught.value.args[0].isprintable()


def test_numbers_that_no_float_holds_are_one_line(tmp_path: Path) -> None:
    text = json.dumps(document()).replace("-175", "-1" + "0" * 400)
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="at most 64 bits"):
        read_dataset(tmp_path)
