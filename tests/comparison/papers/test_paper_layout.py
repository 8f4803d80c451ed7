"""Our runs beside a paper's numbers, by hand: who stands where, what is averaged, and that nothing is mixed."""

import csv
import json
from dataclasses import replace
from io import StringIO
from statistics import fmean, stdev

import numpy as np
import pytest
from rich.console import Console

from undrawn import undrawn
from unpaired.commands.comparison import compare as command
from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender
from unpaired.comparison.files import PAPER_FILE, to_json, write_comparison
from unpaired.comparison.papers.formats import paper_latex, paper_markdown, paper_records, paper_terminal
from unpaired.comparison.papers.layout import lay_out, row_of
from unpaired.comparison.papers.tables import BOTH, LABEL, PAPER_TABLES, paper_table
from unpaired.comparison.records import Column
from unpaired.comparison.tables import latex
from unpaired.data.images import read_label_map, write_image
from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Score

CSA_1 = paper_table("csa-table-1")
LGE_LV, LGE_RV, LGE = Column("lge", "LV"), Column("lge", "RV"), Column("lge", "mean")


def row(patient, modality, name, dice, hd, preset="csa", status="scored"):
    distance = {"csa": "csa:hd_voxels", "ssc": "ssc:asd_mm"}[preset]
    presets = {f"{preset}:dice": dice, distance: hd}
    return Score(f"{patient}_{modality}", patient, modality, name, status, dice, reference_ml=5.0, presets=presets)


def run(gain=0.0, patients=("p", "q"), preset="csa", modalities=("lge", "bssfp"), classes=("LV", "myo", "RV")):
    """Dice 0.8 + 0.1 for the second patient, - 0.1 per class and modality, + gain; HD 4, 6, ... voxels."""
    rows = [
        row(patient, modality, name, 0.8 + gain + 0.1 * place - 0.1 * (number + where), 4.0 + 2 * number, preset)
        for place, patient in enumerate(patients)
        for where, modality in enumerate(modalities)
        for number, name in enumerate(classes)
    ]
    return Evaluation(rows, [], presets=(preset,))


def layout(*methods, table=CSA_1):
    return lay_out(compare(methods, ["dice"]), table)


def cells(found, score, method):
    return next(one for one in found.rows(score) if one.method == method).cells


# ---- cells


def test_one_run_by_hand():
    found = layout(Contender("CSA", (run(),)), Contender("MSBN", (run(-0.1),)))
    ours = cells(found, "csa:dice", "CSA")
    assert ours[LGE_LV].value == pytest.approx(85)  # patients 0.8 and 0.9
    assert ours[LGE_LV].std == pytest.approx(100 * stdev([0.8, 0.9]))
    assert ours[LGE_LV].text == "85.00 ± 7.07"
    assert ours[LGE].value == pytest.approx(75)  # classes 85, 75, 65
    assert ours[Column("bssfp", "RV")].value == pytest.approx(55)
    assert cells(found, "csa:hd_voxels", "CSA")[LGE].text == "6.00 ± 0.00"


def test_several_seeds_are_one_row_with_the_spread_of_their_means():
    found = layout(Contender("CSA", (run(), run(0.04))), Contender("MSBN", (run(),)))
    ours = next(one for one in found.rows("csa:dice") if one.method == "CSA")
    assert ours.whose == "ours, 2 seeds"
    assert ours.cells[LGE_LV].value == pytest.approx(87)
    assert ours.cells[LGE_LV].std == pytest.approx(100 * stdev([0.85, 0.89]))


def test_folds_are_one_row_with_each_patient_once():
    folds = (run(patients=("p", "q")), run(patients=("r",)))
    found = layout(Contender("CSA", folds), Contender("MSBN", folds))
    ours = next(one for one in found.rows("csa:dice") if one.method == "CSA")
    assert ours.whose == "ours, 2 folds"
    assert ours.cells[LGE_LV].value == pytest.approx(100 * (0.8 + 0.9 + 0.8) / 3)
    assert ours.cells[LGE_LV].std == pytest.approx(100 * stdev([0.85, 0.8]))


def test_the_abdomen_pools_the_test_cases_of_all_runs_as_the_paper():
    """SSC app. C.2: mean and standard variance "from the results of all the test samples in the five random tests"."""
    table = paper_table("ssc-abdomen")

    def split(gain, patients):
        return run(gain, patients, "ssc", ("ct", "mr"), table.classes)

    splits = (split(0.0, ("p", "q")), split(0.05, ("q", "r")), split(0.02, ("r", "p")))
    found = layout(Contender("V3", splits), Contender("V3 + CR", splits), table=table)
    ours = cells(found, "ssc:dice", "V3")
    liver = [0.8, 0.9, 0.85, 0.95, 0.82, 0.92]  # of each split's first and second patient
    assert ours[Column("ct", "liver")].value == pytest.approx(100 * fmean(liver))
    assert ours[Column("ct", "liver")].std == pytest.approx(100 * stdev(liver))
    assert ours[BOTH].value == pytest.approx(100 * (fmean(liver) - 0.15 - 0.05))
    assert ours[BOTH].std is None
    assert any("test patients of all runs together" in note for note in found.notes())
    assert not any("each patient once" in note for note in found.notes())


def test_the_mean_over_both_modalities_stands_where_the_paper_prints_one():
    table = paper_table("ssc-cardiac")
    runs = [run(gain, preset="ssc", modalities=("ct", "mr"), classes=table.classes) for gain in (0.0, 0.02)]
    found = layout(Contender("V3", tuple(runs)), Contender("V3 + CR", (runs[0],)), table=table)
    ours = cells(found, "ssc:dice", "V3")
    # ct: 85, 75, 65, 55; mr: ten less; the second seed two more.
    assert ours[Column("ct", "mean")].value == pytest.approx(71)
    assert ours[BOTH].value == pytest.approx((71 + 61) / 2)
    assert ours[BOTH].std == pytest.approx(stdev([65, 67]))
    assert cells(found, "ssc:dice", "V3 + CR")[BOTH].std is None
    assert [one.cells[BOTH].text for one in found.rows("ssc:dice") if one.is_printed][-1] == "91.4"


def test_a_miss_has_no_distance_and_is_counted():
    one = run()
    rows = [
        replace(r, status="missed", presets={"csa:dice": 0.0, "csa:hd_voxels": None}, dice=0.0) for r in one.scores[:1]
    ]
    missing = replace(one, scores=[*rows, *one.scores[1:]])
    found = layout(Contender("CSA", (missing,)), Contender("MSBN", (one,)))
    ours = next(r for r in found.rows("csa:hd_voxels") if r.method == "CSA")
    assert ours.cells[LGE_LV].text == "4.00"  # one patient's alone
    assert (ours.missed, ours.invented) == ("1 of 12", "0")
    assert cells(found, "csa:dice", "CSA")[LGE_LV].value == pytest.approx(45)


def test_other_classes_of_ours_are_in_no_mean():
    one = run()
    more = replace(one, scores=[*one.scores, row("p", "lge", "scar", 0.0, 90.0), row("q", "lge", "scar", 0.0, 90.0)])
    found = layout(Contender("CSA", (more,)), Contender("MSBN", (more,)))
    assert cells(found, "csa:dice", "CSA")[LGE].value == pytest.approx(75)


# ---- rows


def test_rows_stand_in_the_paper_s_order_each_with_the_paper_s_beside_it():
    found = layout(Contender("CSA", (run(),)), Contender("mine", (run(),)), Contender("single", (run(),)))
    rows = [(one.setting, one.is_printed) for one in found.rows("csa:dice")]
    assert rows == [
        ("Single", False),
        ("Single", True),
        ("UMMKD", True),
        ("Joint", True),
        ("MSBN", True),
        ("Affinity", True),
        ("CSA", False),
        ("CSA", True),
        ("mine", False),
    ]
    assert any("In no row of the paper: mine" in note for note in found.notes())


def test_a_variant_stands_in_its_row_under_its_own_name():
    found = layout(Contender("CSA", (run(),)), Contender("CSA (steps=100)", (run(),)))
    assert [one.whose for one in found.rows("csa:dice") if one.setting == "CSA"] == [
        "ours, 1 run",
        "ours (CSA (steps=100)), 1 run",
        LABEL,
    ]
    assert row_of(CSA_1, "Single (wide)") == "Single"


def test_doubtful_columns_are_shown_under_both_readings():
    table = paper_table("csa-tables-2-3")
    one = run(modalities=("ct", "mr"), classes=table.classes)
    found = layout(Contender("CSA", (one,)), Contender("MSBN", (one,)), table=table)
    theirs = [row for row in found.rows("csa:dice") if row.setting == "CSA" and row.is_printed]
    assert [row.whose for row in theirs] == [
        f"{LABEL}; CT and MRI columns swapped",
        f"{LABEL}; columns as printed",
    ]
    assert [row.cells[Column("ct", "myo")].text for row in theirs] == ["88.89", "79.27"]
    assert [row.cells[Column("mr", "myo")].text for row in theirs] == ["79.27", "88.89"]


def test_the_paper_s_numbers_enter_nothing_of_ours():
    methods = Contender("CSA", (run(),)), Contender("MSBN", (run(-0.1),))
    comparison = compare(methods, ["dice"])
    alone = to_json(comparison)
    beside = to_json(comparison, [lay_out(comparison, CSA_1)])
    assert {name: beside[name] for name in alone} == alone
    assert set(beside) - set(alone) == {"paper_tables"}


# ---- what is refused


def test_other_data_and_scores_without_the_preset_are_refused():
    with pytest.raises(InputError, match="csa-table-1 has the modality 'lge'"):
        layout(*(Contender(name, (run(modalities=("ct", "mr")),)) for name in ("CSA", "MSBN")))
    bare = replace(run(), presets=())
    with pytest.raises(InputError, match=r"CSA was scored without the columns of csa-table-1.*--preset csa"):
        layout(Contender("CSA", (bare,)), Contender("MSBN", (run(),)))


# ---- formats


@pytest.fixture(scope="module")
def found():
    return layout(Contender("CSA", (run(), run(0.04))), Contender("MSBN", (run(),)))


def test_markdown_labels_every_printed_row(found):
    text = paper_markdown([found])
    lines = [line for line in text.splitlines() if line.startswith("| CSA")]
    assert lines[0].startswith("| CSA | ours, 2 seeds | 87.00 ± 2.83 |")
    assert lines[1].startswith(f"| CSA | {LABEL} | 91.89 | 83.39 | 87.66 | 87.65 |")
    assert text.count(LABEL) == 12 + 1
    assert "MICCAI 2020, Table 1" in text
    assert paper_markdown([]) == ""


def test_latex_has_a_table_per_score_and_the_label_in_each_row(found):
    text = paper_latex([found])
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 8
    assert all(line.count(" & ") == 11 for line in body)
    assert body[-1].startswith(f"CSA & {LABEL} & 91.89 & ")
    assert paper_latex([]) == ""


def test_rows_for_programs_say_whose_they_are(found):
    rows = list(paper_records(found))
    assert len(rows) == 2 * 8 * 8
    first = next(one for one in rows if one["method"] == "CSA")
    assert (first["folds"], first["seeds"], first["modality"], first["class"]) == (1, 2, "lge", "LV")
    assert first["value"] == pytest.approx(87)
    printed = [one for one in rows if one["method"] is None]
    assert {one["numbers"] for one in printed} == {LABEL}


def test_the_terminal_shows_means(found):
    shown = StringIO()
    console = Console(file=shown, width=120)
    console.print(paper_terminal([found]))
    text = shown.getvalue()
    assert "87.00" in text
    assert "91.89" in text
    assert LABEL in text
    assert "…" not in text


def test_files_hold_the_tables_and_leave_none_of_an_older_comparison(tmp_path, found):
    comparison = found.comparison
    write_comparison(comparison, tmp_path, [found])
    with (tmp_path / PAPER_FILE).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 128
    assert (
        json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))["paper_tables"][0]["table"]
        == "csa-table-1"
    )
    assert (tmp_path / "comparison.tex").read_text(encoding="utf-8").startswith(latex(comparison))
    assert LABEL not in (tmp_path / "comparison.csv").read_text(encoding="utf-8") + (
        tmp_path / "differences.csv"
    ).read_text(encoding="utf-8")
    write_comparison(comparison, tmp_path)
    assert not (tmp_path / PAPER_FILE).exists()
    assert LABEL not in (tmp_path / "comparison.md").read_text(encoding="utf-8")


# ---- the command


def test_the_help_names_every_table():
    for name in PAPER_TABLES:
        assert name in (command.__doc__ or "")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of CSA and two of MSBN that predicted two patients' scans, scored without the preset."""
    from unpaired.commands.evaluation import evaluate
    from unpaired.recipe import to_json as recipe_json
    from unpaired.recipes.class_specific_affinity import small_csa, small_msbn

    root = tmp_path_factory.mktemp("runs")
    entries = []
    for modality in ("lge", "bssfp"):
        for k in range(2):
            array = np.zeros((6, 12, 12), np.uint8)
            for value in (1, 2, 3):
                array[1:5, 2 : 6 + k, 3 * value - 1 : 3 * value + 1] = value
            name = f"p{k}_{modality}"
            write_image(root / f"{name}.nii.gz", array, np.diag([2.0, 2.0, 5.0, 1.0]))
            entries.append(
                {
                    "id": name,
                    "patient": f"p{k}",
                    "modality": modality,
                    "image": f"../{name}.nii.gz",
                    "label": f"../{name}.nii.gz",
                    "label_map": "m",
                    "annotated": "all",
                    "split": "test",
                }
            )
    document = {
        "schema": 1,
        "name": "toy",
        "classes": ["background", "LV", "myo", "RV"],
        "modalities": {"lge": {}, "bssfp": {}},
        "label_maps": {"m": {"0": "background", "1": "LV", "2": "myo", "3": "RV"}},
        "cases": entries,
    }
    folders = []
    for place, (recipe, seed) in enumerate([(small_csa(), 0), (small_csa(), 1), (small_msbn(), 0), (small_msbn(), 1)]):
        folder = root / f"run{place}"
        folder.mkdir()
        (folder / "recipe.json").write_text(json.dumps(recipe_json(replace(recipe, seed=seed))))
        (folder / "dataset.json").write_text(json.dumps(document))
        (folder / "split.json").write_text(json.dumps({"test": [one["id"] for one in entries]}))
        for one in entries:
            truth = read_label_map(root / f"{one['id']}.nii.gz")
            array = truth.array.copy()
            array[:, : 3 + place % 2] = 0
            write_image(folder / "predictions" / f"{one['id']}.nii.gz", array, truth.affine)
        assert evaluate(folder / "predictions", folder) == 0
        folders.append(folder)
    return folders


def test_the_command_groups_runs_scores_what_is_lacking_and_writes_all(runs, tmp_path, capsys):
    texts = tuple(str(folder) for folder in runs)
    assert command(texts, out=tmp_path, paper=("csa-table-1",), report=False, json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["seeds"]) for one in document["methods"]] == [("CSA", 2), ("MSBN", 2)]
    rows = [one for one in document["paper_tables"][0]["rows"] if one["method"] == "CSA" and one["class"] == "LV"]
    found = {(one["score"], one["modality"]): one for one in rows}
    # The LV's rows 2 to 5 (6 in the second patient); the first seed predicts all but row 2, the second all but 2 and 3.
    dices = [[2 * n / (n + m) for n, m in pairs] for pairs in ([(3, 4), (4, 5)], [(2, 4), (3, 5)])]
    expected = 100 * fmean(map(fmean, dices))
    assert found["csa:dice", "lge"]["value"] == pytest.approx(expected)
    assert found["csa:dice", "lge"]["std"] == pytest.approx(100 * stdev([fmean(one) for one in dices]))
    # One row of voxels lacks in the first seed, two in the second: HD 1 and 2 voxels, whatever the spacing.
    assert found["csa:hd_voxels", "lge"]["value"] == pytest.approx(1.5)
    assert not list(runs[0].glob("evaluation/*csa*"))
    assert "csa:dice" not in (runs[0] / "evaluation" / "scores.csv").read_text(encoding="utf-8")


def test_the_command_refuses_a_wrong_table_and_a_single_recipe(runs, tmp_path):
    texts = tuple(str(folder) for folder in runs)
    with pytest.raises(InputError, match="did you mean csa-table-1"):
        command(texts, out=tmp_path, paper=("csa-table1",))
    with pytest.raises(InputError, match=r"all 2 runs are of one recipe \(CSA\)"):
        command(texts[:2], out=tmp_path, paper=("csa-table-1",))
    with pytest.raises(InputError, match="ssc-cardiac has the modality 'ct'"):
        command(texts, out=tmp_path, paper=("ssc-cardiac",))


def test_runs_are_grouped_without_a_paper_too(runs, tmp_path, capsys):
    assert command(tuple(map(str, runs)), out=tmp_path, group=True, report=False, json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["seeds"]) for one in document["methods"]] == [("run0", 2), ("run2", 2)]
    assert "paper_tables" not in document


def test_the_page_shows_the_table_beside_the_paper_s(found, tmp_path):
    from unpaired.report.comparison_page import write_comparison_report
    from unpaired.report.template import render

    write_comparison(found.comparison, tmp_path, [found])
    with undrawn():
        page = write_comparison_report(found.comparison, tmp_path / "page.html", layouts=[found])
    text = page.read_text(encoding="utf-8")
    section = text.split('<section id="papers">')[1].split("</section>")[0]
    assert section.count("<table") == section.count("</table>") == 2
    assert section.count(f">{LABEL}<") == 12
    assert "91.89" in section
    assert f'href="{PAPER_FILE}"' in text
    assert render("sections/paper_tables.html.jinja", layouts=[]).strip() == ""
