"""What label values mean: by the prediction's record, the case's own label map, or what was said; never by position."""

from pathlib import Path

import numpy as np
import pytest

from unpaired.cli import main
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.manifest import write_dataset
from unpaired.data.prediction_record import Record, Written, record_path, write_record
from unpaired.errors import InputError
from unpaired.scores.evaluate import evaluate_dataset, evaluate_folders
from unpaired.scores.reading import Reading, foreground_classes
from unpaired.scores.scores import Evaluation

CLASSES = ("background", "liver", "spleen", "kidney")
STUDY_A = {"background": 0, "liver": 6, "spleen": 1, "kidney": 2}
STUDY_B = {"background": 0, "liver": 2, "spleen": 6, "kidney": 1}
AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])


def organs(shift: int = 0) -> np.ndarray:
    """Class numbers: a liver of eight voxels, moved by `shift`, a spleen and a kidney of two each."""
    array = np.zeros((7, 8, 5), np.int16)
    array[1:3, 1 + shift : 3 + shift, 1:3] = 1
    array[4:6, 5, 2] = 2
    array[4:6, 2, 2] = 3
    return array


def numbered(array: np.ndarray, values: dict[str, int]) -> np.ndarray:
    return np.array([values.get(name, 0) for name in CLASSES], np.int16)[array]


def study(folder: Path, *maps: dict[str, int], annotated: tuple[str, ...] | None = None) -> Dataset:
    """A case c0, c1, ... for each label map, its reference in that map's values."""
    tables = {f"m{n}": {v: (name,) for name, v in values.items()} for n, values in enumerate(maps)}
    cases = []
    for number, values in enumerate(maps):
        label = folder / "labels" / f"c{number}.nii.gz"
        write_image(label, numbered(organs(), values), AFFINE)
        case = CaseEntry(f"c{number}", f"p{number}", "ct", label, label, f"m{number}", annotated, "test")
        cases.append(case)
    return Dataset("study", CLASSES, {"ct": Modality()}, tuple(cases), tables)


def predicted(folder: Path, name: str, array: np.ndarray, values: dict[str, int] | None = None) -> Path:
    """A prediction, with a record that gives the classes' values if there are some."""
    path = folder / "predictions" / f"{name}.nii.gz"
    write_image(path, array, AFFINE)
    if values is not None:
        write_record(Record(name, "ct", {}, [], values), path)
    return path.parent


def dice(evaluation: Evaluation, case: str = "c0") -> dict[str, float | None]:
    assert not evaluation.failures, evaluation.failures
    return {score.class_name: score.dice for score in evaluation.scores if score.case == case}


EXPECTED = {"liver": 0.5, "spleen": 1.0, "kidney": 1.0}


def test_a_prediction_of_another_study_is_read_by_its_record(tmp_path: Path) -> None:
    dataset = study(tmp_path, STUDY_B)
    folder = predicted(tmp_path, "c0", numbered(organs(1), STUDY_A), STUDY_A)
    assert dice(evaluate_dataset(dataset, folder)) == EXPECTED
    named = {value: name for name, value in STUDY_B.items()}
    assert dice(evaluate_folders(folder, tmp_path / "labels", named)) == EXPECTED


def test_two_readers_of_one_modality_with_swapped_numbers(tmp_path: Path) -> None:
    dataset = study(tmp_path, STUDY_A, STUDY_B)
    for case in dataset.cases:  # the references against themselves: without a record, each case's own values
        assert case.label is not None
        (tmp_path / "copies").mkdir(exist_ok=True)
        (tmp_path / "copies" / case.label.name).write_bytes(case.label.read_bytes())
    assert set(dice(evaluate_dataset(dataset, tmp_path / "copies")).values()) == {1.0}
    written = dict(zip(CLASSES, dataset.source_values("ct"), strict=True))
    for name in ("c0", "c1"):
        folder = predicted(tmp_path, name, numbered(organs(1), written), written)
    evaluation = evaluate_dataset(dataset, folder)
    assert dice(evaluation) == dice(evaluation, "c1") == EXPECTED


def test_a_background_of_another_name_is_background(tmp_path: Path) -> None:
    values = {"nothing": 0, "liver": 6, "spleen": 1, "kidney": 2}
    folder = predicted(tmp_path, "c0", numbered(organs(1), STUDY_A), values)
    assert dice(evaluate_dataset(study(tmp_path, STUDY_B), folder)) == EXPECTED


def test_a_class_that_the_network_does_not_have_is_named_and_not_scored_as_missed(tmp_path: Path) -> None:
    dataset = study(tmp_path, STUDY_A)
    values = {"background": 0, "liver": 6, "spleen": 1}
    folder = predicted(tmp_path, "c0", numbered(organs(1), values), values)
    (failure,) = evaluate_dataset(dataset, folder).failures
    assert "c0.prediction.json says that its classes are liver, spleen: no kidney" in failure.message
    assert dice(evaluate_dataset(dataset, folder, reading=Reading(("liver", "spleen")))) == {
        "liver": 0.5, "spleen": 1.0
    }  # fmt: skip
    partly = study(tmp_path, STUDY_A, annotated=("liver", "spleen"))  # nobody looked for kidneys in this case
    assert dice(evaluate_dataset(partly, folder)) == {"liver": 0.5, "spleen": 1.0, "kidney": None}


def test_a_class_that_the_dataset_does_not_have_is_refused_or_background(tmp_path: Path) -> None:
    dataset = study(tmp_path, STUDY_A)
    array = numbered(organs(1), STUDY_A)
    array[6, 7, 4] = 9
    folder = predicted(tmp_path, "c0", array, STUDY_A | {"tumor": 9})
    (failure,) = evaluate_dataset(dataset, folder).failures
    assert "found 9 (tumor)" in failure.message
    assert dice(evaluate_dataset(dataset, folder, reading=Reading(others="background"))) == EXPECTED


def test_other_tools_say_what_their_values_mean(tmp_path: Path) -> None:
    dataset = study(tmp_path, STUDY_B)
    array = numbered(organs(1), STUDY_A)
    array[6, 7, 4] = 117
    folder = predicted(tmp_path, "c0", array)
    said = {6: "liver", 1: "spleen", 2: "kidney"}
    (failure,) = evaluate_dataset(dataset, folder, reading=Reading(predictions=said)).failures
    assert "expected label values 0, 1, 2, 6; found 117" in failure.message
    reading = Reading(others="background", predictions=said)
    assert dice(evaluate_dataset(dataset, folder, reading=reading)) == EXPECTED
    named = {value: name for name, value in STUDY_B.items()}
    assert dice(evaluate_folders(folder, tmp_path / "labels", named, reading=reading)) == EXPECTED
    with pytest.raises(InputError, match="no foreground class 'livre' to score; did you mean liver"):
        evaluate_dataset(dataset, folder, reading=Reading(predictions={6: "livre"}))
    few = evaluate_dataset(dataset, folder, reading=Reading(predictions={6: "liver"}, others="background"))
    assert "it was said that its classes are liver: no spleen, kidney" in few.failures[0].message


def test_what_is_said_of_values_may_not_contradict_a_record(tmp_path: Path) -> None:
    folder = predicted(tmp_path, "c0", numbered(organs(1), STUDY_A), STUDY_A)
    said = {value: name for name, value in STUDY_B.items() if value}
    (failure,) = evaluate_dataset(study(tmp_path, STUDY_B), folder, reading=Reading(predictions=said)).failures
    assert "it was said that 2 is liver, but c0.prediction.json says that liver is 6" in failure.message


def test_background_and_ignored_values_are_no_structures(tmp_path: Path) -> None:
    """Of the reference's liver, half is 5: left out, or background; of the prediction's, it stays liver."""
    reference = organs()
    reference[1:3, 1, 1:3] = 5
    write_image(tmp_path / "labels" / "c0.nii.gz", reference, AFFINE)
    folder = predicted(tmp_path, "c0", organs())

    def scored(last: str) -> Evaluation:
        classes = {1: "liver", 2: "Background", 3: "kidney", 5: last}
        return evaluate_folders(folder, tmp_path / "labels", classes)

    assert dice(scored("ignore")) == {"liver": 1.0, "kidney": 1.0}
    assert dice(scored("BACKGROUND")) == {"liver": pytest.approx(2 * 4 / (8 + 4)), "kidney": 1.0}
    organ = scored("cyst")
    assert {score.class_name for score in organ.scores} == {"liver", "kidney", "cyst"}
    assert organ.mean("dice", class_name="cyst").n_missed == 1


@pytest.mark.parametrize(
    ("others", "liver"), [("background", pytest.approx(2 * 4 / (8 + 4))), ("ignore", pytest.approx(1.0))]
)
def test_values_that_nothing_names_are_what_was_said(tmp_path: Path, others: str, liver: float) -> None:
    reference, prediction = organs(), organs()
    reference[1:3, 1, 1:3] = 77
    prediction[0, 0, 0] = 99
    write_image(tmp_path / "labels" / "c0.nii.gz", reference, AFFINE)
    folder = predicted(tmp_path, "c0", prediction)
    classes = {1: "liver", 3: "kidney"}
    assert evaluate_folders(folder, tmp_path / "labels", classes).failures
    evaluation = evaluate_folders(folder, tmp_path / "labels", classes, reading=Reading(others=others))
    assert dice(evaluation) == {"liver": liver, "kidney": 1.0}
    assert len(evaluation.remarks) == 1


def test_names_that_no_table_could_hold_apart() -> None:
    for classes, words in (({1: "LV", 2: "lv"}, "'LV' comes again as 'lv'"), ({1: "LV", 2: "Mean"}, "called 'Mean'")):
        with pytest.raises(InputError, match=words):
            foreground_classes(classes)


def test_choices_that_there_are_not() -> None:
    with pytest.raises(InputError, match="others: expected 'refuse', 'background' or 'ignore', got 'guess'"):
        Reading(others="guess")
    with pytest.raises(InputError, match="value 0 is background, and was said to be 'liver'"):
        foreground_classes({0: "liver", 1: "spleen"})
    with pytest.raises(InputError, match="1:LV,2:myo"):
        foreground_classes({0: "background", 4: "Ignore"})
    with pytest.raises(InputError, match="no foreground class 'livr' to score; did you mean liver"):
        Reading(only=("livr",)).wanted(CLASSES[1:])


def test_the_command_reads_as_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = organs()
    array[6, 7, 4] = 117
    write_image(tmp_path / "labels" / "c0.nii.gz", array, AFFINE)
    folder = predicted(tmp_path, "c0", numbered(organs(1), STUDY_A))
    asked = ["evaluate", str(folder), str(tmp_path / "labels"), "--out", str(tmp_path / "out")]
    named = ["--classes", "1:liver,2:spleen,3:background", "--prediction-classes", "6:liver,1:spleen"]
    assert main([*asked, *named]) == 2
    assert "found 2;" in capsys.readouterr().err
    assert main([*asked, *named, "--others", "background", "--only", "liver"]) == 0
    said = capsys.readouterr().out
    assert "Only liver scored." in " ".join(said.split())
    assert "Label values that nothing names count as background." in " ".join(said.split())
    rows = (tmp_path / "out" / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[3] for row in rows] == ["class_name", "liver"]
    manifest = write_dataset(study(tmp_path, STUDY_A), tmp_path / "study.json")
    assert main([*asked[:2], str(manifest), *named[:2]]) == 2
    assert "a manifest says itself what its label values mean" in capsys.readouterr().err


def test_values_of_a_file_that_was_replaced_are_no_fault_of_the_reference(tmp_path: Path) -> None:
    """Another program's label map took the prediction's place: the record of the old one doesn't say what 9 is."""
    dataset = study(tmp_path, STUDY_B)
    folder = predicted(tmp_path, "c0", numbered(organs(), STUDY_A))
    path = folder / "c0.nii.gz"
    write_record(Record("c0", "ct", {}, [], STUDY_A, label_map=Written.of(path.read_bytes())), path)
    assert set(dice(evaluate_dataset(dataset, folder)).values()) == {1.0}
    write_image(path, numbered(organs(), {**STUDY_A, "liver": 9}), AFFINE)
    (failure,) = evaluate_dataset(dataset, folder).failures
    assert "expected label values 0, 1, 2, 6; found 9;" in failure.message
    assert "The file was replaced since its record was written" in failure.message
    assert "delete c0.prediction.json if it doesn't say what these values mean" in failure.message
    record_path(path).unlink()
    said = Reading(predictions={9: "liver", 1: "spleen", 2: "kidney"})
    assert set(dice(evaluate_dataset(dataset, folder, reading=said)).values()) == {1.0}
