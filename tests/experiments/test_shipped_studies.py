"""Every study that comes with unpaired, in both sizes: its rows build, its names are its own, its splits are drawn."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import torch

from unpaired.comparison.papers.layout import row_of
from unpaired.comparison.papers.tables import paper_table
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.postprocess import Postprocessing
from unpaired.errors import InputError
from unpaired.experiments.find import all_studies, find_study, list_studies
from unpaired.experiments.program import Program
from unpaired.experiments.splits import DrawsBeside
from unpaired.experiments.study import Size, Study
from unpaired.experiments.train_auto import AUTO
from unpaired.recipe import Recipe, build_method, dumps
from unpaired.recipes import all_recipes
from unpaired.runs.run import training_modalities

STUDIES = sorted(all_studies())
SIZES = get_args(Size)


@cache
def shipped(name: str, size: Size) -> Study:
    """Building a study builds its recipes: once is enough."""
    return find_study(name, size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STUDIES)
def test_its_rows_stand_in_the_papers_tables(name: str, size: Size) -> None:
    study = shipped(name, size)
    for paper in study.papers:
        table = paper_table(paper)
        stated = {row.name for row in study.rows if row_of(table, row.name) is not None}
        assert stated, f"no row of {name} is one of {paper}"


@pytest.mark.parametrize("name", STUDIES)
def test_both_sizes_have_the_same_rows(name: str) -> None:
    small, full = (shipped(name, size) for size in SIZES)
    assert [row.name for row in small.rows] == [row.name for row in full.rows]
    assert (small.title, small.papers, small.apart) == (full.title, full.papers, full.apart)


def scans(modalities: tuple[str, ...], classes: tuple[str, ...]) -> Dataset:
    """Twenty patients of each modality, other ones in each, all labeled; there are no files."""
    cases = tuple(
        CaseEntry(
            f"{name}{number}", f"{name}{number}", name, Path(f"{name}{number}.nii"), Path(f"{name}{number}_l.nii")
        )
        for name in modalities
        for number in range(20)
    )
    return Dataset("scans", ("background", *classes), {name: Modality() for name in modalities}, cases)


HEART_MR = scans(("lge", "bssfp"), ("LV", "myo", "RV"))
SIMULATED_LGE = scans(("lge",), ("LV", "myo", "RV"))
HEART_MR_SIMULATED = replace(
    HEART_MR,
    cases=(
        *HEART_MR.cases,
        *(replace(case, id=f"s_{case.id}", patient=f"s_{case.id}", simulated=True) for case in SIMULATED_LGE.cases),
    ),
)
HEART = scans(("ct", "mr"), ("myo", "LA", "LV", "AA"))
ABDOMEN = scans(("ct", "t2"), ("liver", "spleen", "right kidney", "left kidney"))
DATA = {
    **dict.fromkeys(
        (
            "against_nnunet",
            "few_labels_against_nnunet",
            "one_change",
            "csa_table1",
            "csa_ablations",
            "scarce_labels",
            "few_labels",
            "all_labels",
            "tenth_of_labels",
            "one_labeled_patient",
            "planned_by_labels",
            "cmc_heart",
            "cmc_ablations",
        ),
        HEART_MR,
    ),
    **dict.fromkeys(("few_labels_simulated", "planned_by_labels_simulated"), HEART_MR_SIMULATED),
    **dict.fromkeys(("csa_tables23", "csa_ablations_mmwhs", "ssc_tables15", "ssc_table4", "ummkd_heart"), HEART),
    **dict.fromkeys(("ssc_tables267", "ummkd_abdomen", "cmc_abdomen", "label_sets"), ABDOMEN),
}
"""What each study is for."""


@pytest.mark.parametrize("name", STUDIES)
def test_its_splits_are_drawn_and_each_row_has_something_to_learn(name: str) -> None:
    study, dataset = shipped(name, "small"), DATA[name]
    splits = study.splits(dataset)
    assert len(splits) in (1, 5)
    sided = next(iter(splits.values())).apply(dataset)
    tested = [case.id for case in sided.of(split="test")]
    assert {case.modality for case in sided.of(split="test")} == set(dataset.modalities)
    for row in study.rows:
        seen = sided if row.labels is None else row.labels(sided, 0)
        if isinstance(row.recipe, Program):
            continue
        trained = training_modalities(row.recipe, seen)
        assert all(name in trained or row.norms_of is not None for name in dataset.modalities), row.name
        assert [case.id for case in seen.of(split="test", labeled=True)] == tested
        if row.recipe.unlabeled_batch_size:
            assert seen.of(split="train", labeled=False), f"{row.name} learns from unlabeled scans, and there are none"


def test_simulated_rows_differ_by_their_scans_and_not_by_smoothing() -> None:
    for size in SIZES:
        recipes = [row.recipe for row in shipped("few_labels_simulated", size).rows]
        assert {recipe.postprocessing for recipe in recipes if isinstance(recipe, Recipe)} == {Postprocessing()}


def test_sscs_abdomen_has_all_ct_and_five_draws_of_mr() -> None:
    splits = shipped("ssc_tables267", "small").splits(ABDOMEN)
    drawn = []
    for split in splits.values():
        sided = split.apply(ABDOMEN)
        taken = {name: {case.patient for case in sided.of(name) if case.split} for name in ("ct", "t2")}
        assert (len(taken["ct"]), len(taken["t2"])) == (20, 9)
        drawn.append(taken["t2"])
    assert len(set(map(frozenset, drawn))) == 5
    few = replace(ABDOMEN, cases=tuple(case for case in ABDOMEN.cases if case.id[2:] in map(str, range(6))))
    assert {
        len({c.patient for c in split.apply(few).of("t2") if c.split}) for split in DrawsBeside()(few).values()
    } == {6}
    beside = [replace(case, id=f"s{case.id}", patient=f"s{case.id}", simulated=True) for case in few.of("t2")]
    both = replace(few, cases=(*few.cases, *beside))
    for split in DrawsBeside()(both).values():
        taken = [case for case in split.apply(both).of("t2") if case.split]
        assert len({case.patient for case in taken if not case.simulated}) == 6


def built(recipe: Recipe) -> tuple[str, ...]:
    """What decides whether a recipe's network and method can be built."""
    return dumps(recipe.network), dumps(recipe.method), str(recipe.patch_size), str(recipe.context_slices)


@cache
def built_elsewhere() -> set[tuple[str, ...]]:
    """The recipes of the package, which `test_every_recipe` builds and trains."""
    return {built(recipe()) for recipe in all_recipes().values()}


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn for weights that have no memory: torch works out, step by step, what shape the draw has."""
    for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_", "trunc_normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda weights, *_, **__: weights)


@pytest.mark.usefixtures("probed_once", "no_weights")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STUDIES)
def test_its_rows_build(name: str, size: Size) -> None:
    """On torch's device without memory: networks, patches, layers and methods fit each other."""
    dataset = DATA[name]
    for recipe in (row.recipe for row in shipped(name, size).rows if isinstance(row.recipe, Recipe)):
        if built(recipe) not in built_elsewhere():
            with torch.device("meta"):
                build_method(recipe, tuple(dataset.modalities), len(dataset.classes))
            built_elsewhere().add(built(recipe))


def test_the_peers_are_scripts_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = [row.recipe for row in shipped("against_nnunet", "small").rows if isinstance(row.recipe, Program)]
    programs.remove(AUTO)
    assert len(programs) == 9
    assert all(Path(program.command[1]).is_file() for program in programs)
    monkeypatch.setenv("UNPAIRED_PEERS", str(tmp_path))
    with pytest.raises(InputError, match="name that folder, UNPAIRED_PEERS=FOLDER"):
        find_study("against_nnunet")


@pytest.mark.parametrize("size", SIZES)
def test_a_row_beside_nnunet_trains_as_one_would_where_there_is_bfloat16(size: Size) -> None:
    study = shipped("against_nnunet", size)
    plain, fast = (study.row(name).recipe for name in ("MSBN", "MSBN, bf16"))
    assert isinstance(plain, Recipe)
    assert plain.precision == "32-true"
    assert fast == replace(plain, precision="bf16-mixed", memory_format="channels_last")


def test_each_is_described_in_one_line() -> None:
    assert all(text.endswith(".") and len(text) < 120 for text in list_studies().values())


def test_an_unknown_study_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="there is no study 'csa_tabel1'; did you mean csa_table1"):
        find_study("csa_tabel1")


def test_a_file_of_a_persons_own_has_studies(tmp_path: Path) -> None:
    file = tmp_path / "my_study_file.py"
    file.write_text(
        "from unpaired.experiments.study import Row, Size, Study\nfrom unpaired.recipes.phantom import csa, msbn\n"
        "def mine(size: Size) -> Study:\n    return Study(size, (Row('MSBN', msbn()), Row('CSA', csa())))\n"
        "def broken() -> Study:\n    return 1 / 0\n"
    )
    assert find_study(f"{file}:mine", "full").title == "full"
    with pytest.raises(InputError, match=r"my_study_file.py, line 6: ZeroDivisionError"):
        find_study(f"{file}:broken")
    with pytest.raises(InputError, match="has no study 'min'; did you mean mine"):
        find_study(f"{file}:min")
    with pytest.raises(InputError, match="found no file"):
        find_study("nowhere.py:mine")


OWN = """
from functools import partial
from unpaired import Study
from unpaired.experiments.study import Row
from unpaired.recipes.phantom import msbn

rows = partial(Row, "MSBN", msbn())
def nothing() -> Study:
    rows()
def unsaid():
    return Study("a", (rows(),))
def of_data(data, size) -> "Study":
    return Study("a", (rows(),))
def leaves() -> Study:
    raise SystemExit("no GPU")
"""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("nothing", r"own\.py: expected a Study, got None; correct it there$"),
        ("unsaid", r"own\.py: unsaid is not annotated with what it returns; write `def unsaid\(\.\.\.\) -> Study:`$"),
        ("of_data", r"own\.py: nobody gives of_data its data; give study functions defaults for all$"),
        ("rows", r"own\.py has no study 'rows'; known: leaves, nothing$"),
        ("leaves", r"own\.py, line 15: SystemExit: no GPU; correct it there$"),
    ],
)
def test_a_function_that_makes_no_study_is_one_line(function: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    with pytest.raises(InputError, match=said):
        find_study(f"{tmp_path / 'own.py'}:{function}")
