"""`study` end to end, on the phantom: what is run, what is skipped, what a failed or edited row does."""

import errno
import json
import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_study import hearts, tiny_recipe, tiny_study

from undrawn import undrawn
from unpaired.comparison.files import FILES
from unpaired.data import known_content
from unpaired.data.dataset import Dataset, without_labels
from unpaired.data.split import Split
from unpaired.errors import InputError, UnwritableError
from unpaired.experiments import budget, results, run, work
from unpaired.experiments.labels import FewPatients
from unpaired.experiments.program import Program
from unpaired.experiments.results import StudyResults
from unpaired.experiments.run import study
from unpaired.experiments.splits import TheseSplits
from unpaired.experiments.study import Row, Study

sys.path.append(str(Path(__file__).parents[2] / "studies"))

from gpu_minutes import row_numbers  # pyright: ignore[reportMissingImports]


@pytest.fixture(scope="module")
def phantom(thin_phantom: Dataset) -> Dataset:
    return thin_phantom


@pytest.fixture(scope="module")
def made(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """The tiny study, run; its figures are not drawn. The phantom's hashes are kept, however young its files are."""
    with undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_content, "RECENT_NS", 0)
        return in_folder(tiny_study(), phantom, tmp_path_factory.mktemp("study"))


@pytest.fixture
def again(made: StudyResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the tiny study left, to go on with; no page is drawn of it any more, which takes time."""
    monkeypatch.setattr(results, "write_comparison_report", lambda *arguments: arguments[1])
    return Path(shutil.copytree(made.folder, tmp_path / "study"))


def in_folder(plan: Study | str, phantom: Dataset, out: Path, **options: Any) -> StudyResults:
    return study(plan, hearts(phantom), out, device="cpu", viewer_mb=0, worker=False, **options)


def tasks_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the rows that are run from now on, instead of being run."""
    begun: list[str] = []

    def noted(task: work.RunCell) -> work.Answer:
        begun.append(task.name)
        return work.Answer(failure="not run in this test")

    monkeypatch.setattr(work, "in_process", noted)
    return begun


def test_every_row_is_trained_predicted_scored_and_compared(made: StudyResults) -> None:
    assert made.compared is not None
    assert made.compared.comparison.names == ["MSBN", "Joint"]
    assert [(row.name, row.planned, row.done, row.failed, row.steps) for row in made.rows] == [
        ("MSBN", 1, 1, 0, (2,)),
        ("Joint", 1, 1, 0, (2,)),
    ]
    assert not made.failures
    page = (made.folder / "study.html").read_text()
    assert "<h1>tiny</h1>" in page
    assert "unpaired" in made.notes[1]
    assert all(escape(note) in page for note in made.notes)
    assert all((made.folder / name).is_file() and f">{name}<" in page for name in FILES)
    assert {path.name for path in (made.folder / "runs" / "own").iterdir()} == {"msbn", "joint"}
    status = json.loads((made.folder / "study.json").read_text())
    assert [row["done"] for row in status["rows"]] == [1, 1]


def test_what_is_done_is_not_done_again_wherever_the_folder_is(
    again: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tasks_of(monkeypatch)
    made = in_folder(tiny_study(), phantom, again)
    assert begun == []
    assert made.compared is not None


def test_an_edited_row_is_run_anew_beside_the_old_one(
    again: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tasks_of(monkeypatch)
    edited = replace(tiny_study(), rows=(tiny_study().rows[0], Row("Joint", tiny_recipe(steps=3))))
    lines: list[str] = []
    made = in_folder(edited, phantom, again, say=lines.append)
    assert begun == ["Joint"]
    assert made.compared is None
    left = "seed0 is of another content: recipe.network.modality_norm is False there and True here"
    assert f"Left out of own, Joint, seed 0: {left}." in made.notes
    assert f"own, Joint, seed 0: begins (1 of 1); {left}" in lines
    assert {path.name for path in again.iterdir() if path.is_file()} == {"study.about.json", "study.json"}
    assert dict(made.failures) == {"own, Joint, seed 0": "not run in this test"}
    folder = again / "runs" / "own" / "joint"
    assert json.loads((folder / "seed0.json").read_text())["state"] == "done"
    assert json.loads((folder / "seed0-2.json").read_text())["state"] == "failed"


def test_a_label_map_that_was_replaced_is_seen(again: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tasks_of(monkeypatch)
    maps = sorted((again / "runs" / "own" / "msbn" / "seed0" / "predictions").glob("*.nii.gz"))
    shutil.copy(maps[0], maps[1])
    in_folder(tiny_study(), phantom, again)
    assert begun == ["MSBN"]


def test_a_run_in_the_place_of_another_one_is_not_taken_for_it(
    again: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tasks_of(monkeypatch)
    msbn, joint = (again / "runs" / "own" / name / "seed0" for name in ("msbn", "joint"))
    shutil.rmtree(joint)
    shutil.copytree(msbn, joint)  # with scores that fit its predictions, beside the record of the other row
    made = in_folder(tiny_study(), phantom, again)
    assert begun == ["Joint"]
    assert made.compared is None


def test_a_row_that_fails_is_listed_and_stops_no_other(phantom: Dataset, again: Path) -> None:
    """One can't be planned for these patients, one can't be built; the finished ones are compared all the same."""
    few = Row("few", tiny_recipe(), FewPatients("lge", 9))
    wide = Row("wide", tiny_recipe(patch_size=(33, 33)))
    lines: list[str] = []
    made = in_folder(replace(tiny_study(), rows=(few, wide, *tiny_study().rows)), phantom, again, say=lines.append)
    failures = dict(made.failures)
    for name, why in failures.items():
        assert [line for line in lines if why in line] == [f"{name}: failed: {why}"], "each is told as it happens, once"
    assert "between 1 and 2 training patients of lge" in failures["own, few, seed 0"]
    assert "sizes must be multiples of" in failures["own, wide, seed 0"]
    assert made.compared is not None
    assert made.compared.comparison.names == ["MSBN", "Joint"]
    assert "few, wide" in " ".join(made.notes)


def test_a_comma_in_the_name_of_a_split_or_row_parts_nothing(tmp_path: Path, phantom: Dataset) -> None:
    """What can't be is told of the row that it is of."""
    few = Row("b, few", tiny_recipe(), FewPatients("lge", 9))
    split = Split.of(hearts(phantom))
    plan = tiny_study(rows=(few, *tiny_study().rows), splits=TheseSplits((("a, b", split), ("MSBN, c", split))))
    told = in_folder(plan, phantom, tmp_path / "told", run=False)
    assert [(row.name, row.planned, row.failed) for row in told.rows] == [
        ("b, few", 2, 2),
        ("MSBN", 2, 0),
        ("Joint", 2, 0),
    ]
    timed = in_folder(plan, phantom, tmp_path / "timed", estimate=True).estimate
    assert timed is not None
    assert ["training patients of lge" in row.note for row in timed.rows] == [True, False, False]
    same = replace(plan, rows=(few, Row("few", tiny_recipe())), splits=TheseSplits((("a", split), ("a, b", split))))
    with pytest.raises(
        InputError, match=r"^run 'a, b, few, seed 0' appears twice; call its split or its row otherwise$"
    ):
        in_folder(same, phantom, tmp_path / "same")
    outside = replace(plan, splits=TheseSplits((("../a", split),)))
    with pytest.raises(InputError, match=r"^split '../a' can't be a file name"):
        in_folder(outside, phantom, tmp_path / "same")
    assert not (tmp_path / "same").exists()


def test_a_failure_is_told_by_a_later_call_that_only_compares(again: Path, phantom: Dataset) -> None:
    plan = replace(tiny_study(), rows=(*tiny_study().rows, Row("wide", tiny_recipe(patch_size=(33, 33)))))
    in_folder(plan, phantom, again)
    lines: list[str] = []
    made = in_folder(plan, phantom, again, run=False, say=lines.append)
    assert "sizes must be multiples of" in (why := dict(made.failures)["own, wide, seed 0"])
    assert lines == [f"own, wide, seed 0: failed in an earlier call: {why}"]


def test_a_full_disk_leaves_runs_and_earlier_tables_and_says_so(
    again: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written last is what no longer fits; the tables before it, which would have, are as they were too."""
    before = {file: file.read_bytes() for file in again.rglob("*") if file.is_file()}
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.endswith(results.STATUS):
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    said = r"study\.json: No space left on device; free some space or .* Runs and their scores are kept, and .*tables"
    with pytest.raises(UnwritableError, match=rf"^can't write .*{said}"):
        in_folder(tiny_study(remarks=("another remark",)), phantom, again)
    assert {file: file.read_bytes() for file in again.rglob("*") if file.is_file()} == before


def test_a_shard_runs_its_part_and_leaves_the_tables_to_a_last_call(
    tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tasks_of(monkeypatch)
    parts = []
    for number in (1, 2):
        made = in_folder(tiny_study(), phantom, tmp_path / "out", shard=f"{number}/2")
        assert made.compared is None
        parts.append(list(begun))
        begun.clear()
    assert sorted(map(len, parts)) == [1, 1]
    assert parts[0] != parts[1]


def test_a_row_that_begins_with_another_one_waits_for_it(
    tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tasks_of(monkeypatch)
    plan = tiny_study(
        rows=(Row("first", tiny_recipe()), Row("second", tiny_recipe(), begins_with="first")), apart=("first",)
    )
    lines: list[str] = []
    made = in_folder(plan, phantom, tmp_path, say=lines.append)
    assert begun == ["first"]
    assert dict(made.failures)["own, second, seed 0"] == "begins with own, first, seed 0, which failed"
    assert "own, second, seed 0: failed: begins with own, first, seed 0, which failed" in lines


def test_chosen_rows_keep_all_that_they_begin_with() -> None:
    stages = Row("first", tiny_recipe()), Row("second", tiny_recipe(), begins_with="first")
    plan = tiny_study(rows=(*stages, Row("third", tiny_recipe(), begins_with="second"), Row("other", tiny_recipe())))
    chosen = run.chosen_study(plan, ["third"], (), (), None)
    assert [row.name for row in chosen.rows] == ["first", "second", "third"]


def test_steps_in_place_of_a_studys_minutes_are_its_budget(tmp_path: Path, phantom: Dataset) -> None:
    """Else the tables would say of a try of 4 steps that it had half an hour."""
    made = in_folder(tiny_study(minutes=30), phantom, tmp_path, changes="steps=4", run=False)
    assert made.notes[0] == "Budget: as many steps as the recipes say."
    assert [row.steps for row in made.rows] == [(4,), (4,)]


def test_a_budget_in_minutes_becomes_steps_once(
    tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks_of(monkeypatch)
    made = in_folder(tiny_study(), phantom, tmp_path, minutes=60)
    speeds = [json.loads(file.read_text()) for file in (tmp_path / "speeds").iterdir()]
    assert sorted(int(3600 / speed["seconds"]) for speed in speeds) == sorted(row.steps[0] for row in made.rows)
    again = in_folder(tiny_study(), phantom, tmp_path, minutes=60)
    assert [row.steps for row in again.rows] == [row.steps for row in made.rows]


def test_tables_are_made_where_no_step_was_timed(
    tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without the GPU that trained: with the GPU's steps; what was never timed is said, and not timed."""
    out = tmp_path / "out"
    never = in_folder(tiny_study(), phantom, out, minutes=60, run=False)
    assert "no call has timed a step of it yet" in dict(never.failures)["own, MSBN, seed 0"]
    tasks_of(monkeypatch)
    made = in_folder(tiny_study(), phantom, out, minutes=60)
    for file in list((out / "speeds").iterdir()):
        kept = json.loads(file.read_text())
        kept["device"] = kept["step"]["device"] = "cuda"
        file.with_stem(f"gpu-{file.stem}").write_text(json.dumps(kept))
        file.unlink()
    later = in_folder(tiny_study(), phantom, out, minutes=60, run=False)
    assert [row.steps for row in later.rows] == [row.steps for row in made.rows]


def test_the_script_for_minutes_of_a_gpu_tells_what_came_of_each_row(
    tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole row by the script's own functions, as no GPU is there to see it fail: two steps, some scans."""
    monkeypatch.setattr(budget, "LEAST_STEPS", 2)
    given = Namespace(out=tmp_path, device="cpu")
    numbers = row_numbers(tiny_study(), hearts(phantom), given, "Joint", 1e-6)
    assert numbers["failures"] == {}
    assert numbers["steps"] == 2
    assert numbers["seconds_per_step"] > 0
    assert set(numbers["dice"]) == {"bssfp", "lge"}
    assert numbers["first_loss"] > 0
    failed = row_numbers(
        tiny_study(rows=(Row("wide", tiny_recipe(patch_size=(33, 33))),)), hearts(phantom), given, "wide", 1.0
    )
    assert set(failed) == {"name", "failures"}


def test_an_estimate_runs_nothing(tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tasks_of(monkeypatch)
    made = in_folder(tiny_study(), phantom, tmp_path, estimate=True, hours=1.0)
    assert begun == []
    assert made.estimate is not None
    assert [(row.left, row.fitting) for row in made.estimate.rows] == [(1, 1), (1, 1)]
    assert all(row.speed is not None and row.seconds == 2 * row.speed.seconds for row in made.estimate.rows)
    assert "fit into 1 h" in made.table().head
    nothing = in_folder(tiny_study(), phantom, tmp_path, estimate=True, hours=1e-9)
    assert nothing.estimate is not None
    assert [row.fitting for row in nothing.estimate.rows] == [0, 0]


@pytest.mark.parametrize("early", [False, True])
def test_a_study_goes_on_from_whatever_folder_it_is_called_in(
    early: bool, again: Path, tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early versions noted the title as a path below the folder that they were called in."""
    if early:
        about = {"schema": 1, "command": "study", "of": [str(tmp_path.resolve() / "tiny")]}
        (again / "study.about.json").write_text(json.dumps(about))
    monkeypatch.chdir(tmp_path)
    assert not in_folder(tiny_study(), phantom, again, run=False).failures
    monkeypatch.chdir(again)
    assert not in_folder(tiny_study(), phantom, again, run=False).failures


def test_a_folder_of_another_study_is_refused(again: Path, phantom: Dataset) -> None:
    with pytest.raises(InputError, match="holds what study made of"):
        in_folder(replace(tiny_study(), title="another"), phantom, again)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ["MSBM"]}, "has no row 'MSBM'; did you mean MSBN"),
        ({"splits": ["fold7"]}, "has no split 'fold7'; known: own"),
        ({"jobs": 0}, "jobs must be 1 or more, got 0"),
        ({"jobs": 2}, "need processes of their own"),
        ({"minutes": 0.0}, "minutes must be above 0"),
        ({"minutes": (5.0, -1.0)}, "minutes must be above 0"),
        ({"minutes": float("inf")}, "minutes must be above 0 and finite"),
        ({"minutes": float("nan")}, "minutes must be above 0 and finite"),
        ({"hours": -1.0}, "hours must be above 0, got -1"),
        ({"hours": float("nan")}, "hours must be above 0, got nan"),
        ({"shard": "1/2", "run": False}, "shard 1/2 runs its part, and makes no tables"),
        ({"viewer_mb": -1.0}, "viewer budget: expected a number of megabytes from 0, got -1"),
        ({"changes": "stepz=5"}, "Recipe has no field 'stepz'; did you mean steps"),
        ({"changes": "steps=5", "minutes": 3.0}, "--minutes 3 and --set steps both say how long rows train; leave one"),
        ({"changes": {"seed": 5}}, "--set seed: every run would have this one; name a study's seeds by --seeds"),
        ({"split": [Path("a/fold0.json"), Path("b/fold0.json")]}, "split 'fold0' appears twice"),
    ],
)
def test_what_fits_no_cell_is_refused(options: dict[str, Any], message: str, tmp_path: Path, phantom: Dataset) -> None:
    with pytest.raises(InputError, match=message):
        study(tiny_study(), hearts(phantom), tmp_path, **{"device": "cpu", "viewer_mb": 0, "worker": False} | options)


def test_what_only_the_tables_would_miss_is_told_before_a_row_begins(tmp_path: Path, phantom: Dataset) -> None:
    hearts = tiny_study()
    strange = (replace(hearts.rows[0], norms_of="lgee"), hearts.rows[1])
    for unfit, message in (
        (
            replace(hearts, papers=("ssc-abdomen",)),
            "^ssc-abdomen has the modality 'ct', the scores compared have bssfp, lge; .* a study's `papers`",
        ),
        (replace(hearts, rows=strange), "^row 'MSBN': no modality 'lgee' in phantom-heart; did you mean lge"),
    ):
        with pytest.raises(InputError, match=message):
            in_folder(unfit, phantom, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_shipped_study_of_other_data_goes_without_its_printed_table(tmp_path: Path, phantom: Dataset) -> None:
    """What a person wrote down for data of their own is refused: it is a mistake."""
    split, lines = Split.of(hearts(phantom)), list[str]()
    made = in_folder(
        "ssc_tables15", phantom, tmp_path / "a", split=split, rows=["Baseline"], run=False, say=lines.append
    )
    (said,) = (line for line in lines if "printed" in line)
    assert said.startswith("Without the printed numbers of ssc-cardiac: they are of ct, mr with ")
    assert said.endswith(f", this data has bssfp, lge with {', '.join(phantom.classes[1:])}.")
    assert said in made.notes
    file = tmp_path / "mine.py"
    file.write_text(
        "from unpaired.experiments.study import Study\nfrom unpaired.experiments.find import find_study\n\n\n"
        "def mine() -> Study:\n    return find_study('ssc_tables15')\n"
    )
    with pytest.raises(InputError, match=r"^ssc-cardiac has the modality 'ct', the scores compared have bssfp, lge; "):
        in_folder(f"{file}:mine", phantom, tmp_path / "b", split=split, run=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": ("dcie",)}, "no score 'dcie'; did you mean dice"),
        ({"scores": ("csa:dice",)}, "'csa:dice' is a preset's column and can't be tested"),
        ({"scores": ()}, "expected scores to compare, each once, got none"),
        ({"scores": ("dice", "dice")}, "each once, got dice dice"),
        (
            {"rows": (Row("nnU-Net", Program(("x",))),), "misaligned": ("nnU-Net",)},
            "row 'nnU-Net' is a program's, which takes no partner",
        ),
        ({"baseline": "MSBN", "apart": ("MSBN",)}, "row 'MSBN' is the baseline, which is compared"),
    ],
)
def test_a_study_of_what_cannot_be_compared_is_none(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny_study(**changes)


def made_of(kind: type[Row | Study | Program], **values: Any) -> Any:
    """A value as a person's code makes it: without the check of types that tests put before ours."""
    made = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    made.__post_init__()
    return made


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Row, {"recipe": "csa"}, "row 'MSBN': recipe: expected Recipe or Program, got 'csa'"),
        (Row, {"labels": "10%"}, r"labels: expected a function .*, such as LabeledShare\(0.1\), or None, got '10%'"),
        (Row, {"norms_of": 3}, "row 'MSBN': norms_of: expected text or None, got 3"),
        (Row, {"name": ""}, "row '': its folder '' can't be a file name"),
        (Row, {"name": "a\nb"}, r"a row's name: 'a\\nb' holds '\\n', which no name may"),
        (Study, {"rows": ("MSBN",)}, "study 'tiny': rows: expected Row, got 'MSBN'; correct it there"),
        (Study, {"minutes": "5"}, "minutes: expected a number or None, got '5'"),
        (Study, {"title": 7}, "a study's title: expected text, got 7"),
        (Study, {"splits": "a.json"}, r"splits: expected a function of a dataset, such as Folds\(5\), got 'a.json'"),
        (Study, {"seeds": ("a",)}, "seed: expected a whole number of 0 or more, got 'a'"),
        (Program, {"command": "python theirs.py"}, r"expected its words, such as \(.*\), got 'python theirs.py'"),
    ],
)
def test_values_of_another_kind_are_one_line(kind: type, values: dict[str, Any], message: str) -> None:
    start = tiny_study()
    whole = {Row: vars(start.rows[0]), Study: vars(start), Program: vars(Program(("x",)))}[kind]
    with pytest.raises(InputError, match=message):
        made_of(kind, **whole | values)


def test_a_lone_value_is_a_list_of_itself() -> None:
    start = tiny_study()
    lone = made_of(Study, **vars(start) | {"rows": start.rows[0], "seeds": 3, "scores": "dice", "papers": []})
    assert (lone.rows, lone.seeds, lone.scores, lone.papers) == (start.rows[:1], (3,), ("dice",), ())


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (lambda _: {}, r"expected \{name: split\}, they drew none"),
        (lambda _: ["a"], r"expected \{name: split\}, got \['a'\]"),
        (lambda _: {"a": "a.json"}, "'a': expected Split, got 'a.json'"),
        (lambda: {}, r"TypeError: .* takes 0 positional arguments but 1 was given; correct it there"),
    ],
)
def test_splits_that_draw_none_are_one_line(splits: Any, message: str, tmp_path: Path, phantom: Dataset) -> None:
    with pytest.raises(InputError, match=f"^study 'tiny': its splits: {message}"):
        in_folder(tiny_study(splits=splits), phantom, tmp_path)


def test_a_split_after_which_nothing_is_trained_or_scored_is_refused(tmp_path: Path, phantom: Dataset) -> None:
    whole = Split.of(hearts(phantom))
    first = whole.train[0]
    for split, message in (
        (replace(whole, test=()), "split 'b': no labeled case is in test, so nothing is scored; draw it anew"),
        (replace(whole, unlabeled=whole.train), "split 'b': no labeled case is in train, so nothing trains"),
        (replace(whole, test=(*whole.test, "nobody")), "split 'b': .*nobody"),
    ):
        with pytest.raises(InputError, match=message):
            in_folder(tiny_study(splits=TheseSplits((("a", whole), ("b", split)))), phantom, tmp_path)
    twins = hearts(phantom)
    twins = replace(
        twins,
        cases=tuple(
            replace(case, patient=twins.case(first).patient) if case.id == whole.test[0] else case
            for case in twins.cases
        ),
    )
    with pytest.raises(InputError, match=r"split 'b': patient .* is on 2 sides of the split"):
        study(tiny_study(splits=TheseSplits((("b", whole),))), twins, tmp_path, device="cpu")


def test_labels_that_touch_test_cases_are_refused(tmp_path: Path, phantom: Dataset) -> None:
    """Else a row would be trained on what the others are tested on, or on fewer patients."""

    def moved(dataset: Dataset, seed: int) -> Dataset:
        return replace(dataset, cases=tuple(replace(case, split="train") for case in dataset.cases))

    def blind(dataset: Dataset, seed: int) -> Dataset:
        ids = {case.id for case in dataset.of(split="test")}
        return without_labels(dataset, ids)

    first, second = tiny_study().rows
    rows = (replace(first, labels=moved), replace(second, labels=blind), replace(second, name="c"))
    made = in_folder(tiny_study(rows=rows), phantom, tmp_path, run=False)
    assert set(dict(made.failures)) == {"own, MSBN, seed 0", "own, Joint, seed 0"}
    assert all("its labels: all rows need the same test cases with their" in why for _, why in made.failures)


def test_labels_that_fail_are_told_as_the_rows(tmp_path: Path, phantom: Dataset) -> None:
    """They are a person's own code, hence no fault of the package, and they stop no other row."""
    first, second = tiny_study().rows
    rows = (first, replace(second, labels=lambda *_: None), replace(second, name="c", labels=lambda data: data))
    made = in_folder(tiny_study(rows=rows), phantom, tmp_path, run=False)
    said = dict(made.failures)
    assert said["own, Joint, seed 0"] == "row 'Joint': its labels: expected a Dataset, got None; correct it there"
    assert said["own, c, seed 0"].startswith("row 'c': its labels: TypeError: ")
    assert not any("fault of unpaired" in why for why in said.values())


@pytest.mark.parametrize(
    ("device", "dealt"), [("cuda", ["4", "7", "4"]), ("cuda:1", ["7", "7", "7"]), ("cpu", [None, None, None])]
)
def test_gpus_are_dealt_out_and_a_named_one_is_kept_to(
    device: str, dealt: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is needed to say which one a process sees."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    monkeypatch.setattr(run, "choose_device", torch.device)
    places = run.places_of(3, 1, device, True)
    assert [places.environment(slot).get("CUDA_VISIBLE_DEVICES") for slot in range(3)] == dealt
