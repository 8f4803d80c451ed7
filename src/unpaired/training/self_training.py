"""Self-training: a network labels the scans that have no label, and the next one learns from these labels too.

In rounds (Yarowsky, 1995; Lee, "Pseudo-Label", 2013; Xie et al., "Noisy Student", CVPR 2020). Pseudo-labels are
partial: where the network wavers between two classes, or knows nothing, they say just that (`inference.pseudo_labels`).
A round counts only if it is better than the best one so far and makes no modality worse (`training.rounds`); the first
that isn't ends it. It is judged by what can be seen without test labels: a modality with labeled validation cases by
its Dice there, one without by how little its label maps depend on contrast (`training.stability`), which is a hint, not
a measurement.
"""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from unpaired.consent.modules import Trust, load_trusted
from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import Subject, require_own_folder, write_about
from unpaired.data.split import Split, as_split
from unpaired.errors import InputError, known
from unpaired.files import write_json
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.predictor import Predictor
from unpaired.inference.preparation import PREPARATION
from unpaired.inference.pseudo_labels import PseudoLabeled, value_table, write_pseudo_labels
from unpaired.inference.record import settings_of
from unpaired.overrides import Changes
from unpaired.recipe import Recipe, override
from unpaired.recipes import find_recipe
from unpaired.runs.run import Run, training_modalities
from unpaired.runs.same_data import require_same_classes
from unpaired.training.loop import Hardware, train
from unpaired.training.rounds import Round, SelfTraining, judged
from unpaired.training.stability import contrast_stability, validation_dice

ROUNDS = "self_training.json"
"""The file of a self-training that says what each round had, and which was kept."""
SCANS_LOOKED_AT = 6
"""Unlabeled scans of a modality that tell how stable its label maps are."""


def self_train(
    recipe: Recipe | str,
    data: Dataset | str | Path,
    runs: str | Path,
    *,
    rounds: int = 2,
    confidence: float = 0.9,
    tolerance: float = 0.01,
    teacher: Run | str | Path | None = None,
    norms_of: str | None = None,
    split: Split | str | Path | None = None,
    changes: Changes = (),
    device: str = "auto",
    workers: int = 1,
    trust: Trust = (),
    show: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> SelfTraining:
    """Train on the labels that there are, then in up to so many rounds on the network's own labels besides.

    Round k is the run `runs`/round<k> and learned from the label maps in `runs`/labels<k>. `teacher` is a finished run
    that stands for round 0. Voxels are labeled from a probability of `confidence` on. Rounds begin with fresh weights,
    or with those of the recipe's `init_from`, which may be the teacher. Scans of a modality that round 0 was not
    trained on are labeled with the norms of `norms_of`, as `Predictor` does. The same call goes on where it was
    stopped. Other arguments are those of `train`.

    A round is kept if its mean over modalities is above that of the best round so far, and no modality's validation
    Dice (0..1) is more than `tolerance` below what round 0 or the best round had.

    Raises InputError for labels there that were made of other scans, by another teacher or confidence, for a teacher of
    other classes, if there is no unlabeled training case of a modality that round 0 knows or `norms_of` stands for, for
    a recipe that takes unlabeled images itself (train it first, and give its run as `teacher`), and for numbers that
    make no sense.
    """
    if rounds < 1 or not 0.5 < confidence <= 1:
        raise InputError(f"expected 1 round or more and a confidence above 0.5 up to 1, got {rounds} and {confidence}")
    if not 0 <= tolerance <= 1:
        raise InputError(f"expected a tolerance from 0 to 1, the Dice that a modality may lose, got {tolerance}")
    load_trusted(trust)
    chosen = override(find_recipe(recipe, trust) if isinstance(recipe, str) else recipe, changes)
    if chosen.unlabeled_batch_size:
        raise InputError(
            "this recipe takes unlabeled images, of which self-training leaves none; train it by `unpaired train`, and "
            "self-train a recipe without them with its run as teacher"
        )
    dataset = as_dataset(data)
    dataset = dataset if split is None else as_split(split).apply(dataset)
    folder, hardware = Path(runs), Hardware(device, workers=workers)
    names = chosen.modalities or tuple(dataset.modalities)
    if teacher is None:
        _require_to_label(chosen, dataset, names, norms_of)
        best = train(chosen, dataset, folder / "round0", hardware=hardware, cache=folder / "prepared", show=show)
    else:
        best = _opened(teacher, dataset, trust)
    predictor = Predictor(best, device=device, norms_of=norms_of)
    unlabeled = _unlabeled(dataset, [name for name in names if predictor.knows(name)])
    done = [_scored(predictor, dataset, names, {}, {})]
    for number in range(1, rounds + 1):
        told = _labeled(predictor, dataset, unlabeled, folder / f"labels{number}", confidence, say)
        run = train(
            chosen,
            told.dataset,
            folder / f"round{number}",
            hardware=hardware,
            cache=folder / "prepared",
            show=show,
        )
        predictor = Predictor(run, device=device, norms_of=norms_of)
        scored = _scored(predictor, dataset, names, told.sure, told.either)
        done.append(judged(scored, done[0], done[-1], tolerance))
        write_json(folder / ROUNDS, [of.document() for of in done])
        if not done[-1].kept:
            break
    return SelfTraining(tuple(done))


def _opened(teacher: Run | str | Path, dataset: Dataset, trust: Trust) -> Run:
    """The run that stands for round 0. Raises InputError if it has other classes than the dataset."""
    run = teacher if isinstance(teacher, Run) else Run.open(teacher, trust)
    advice = f"begin with its weights instead: --set init_from={run.called}"
    require_same_classes(run.called, run.dataset, dataset, advice)
    return run


def _labeled(
    teacher: Predictor,
    dataset: Dataset,
    cases: list[CaseEntry],
    place: Path,
    confidence: float,
    say: Callable[[str], None],
) -> PseudoLabeled:
    """The dataset with a teacher's labels. Raises InputError where labels lie at `place` that are another one's, surer,
    of other scans, or of other values."""
    ensemble = Ensemble([teacher])
    made_of = f"scans, label values and settings {_made_of(ensemble, dataset, cases)}"
    about = Subject("self-train", (f"confidence {confidence:g}", f"weights {teacher.weights_hash}", made_of))
    require_own_folder(place, f"{cases[0].id}.nii.gz", about)
    write_about(place, about)
    return write_pseudo_labels(ensemble, dataset, cases, place, confidence, say)


def _made_of(ensemble: Ensemble, dataset: Dataset, cases: Sequence[CaseEntry]) -> str:
    """Sixteen hexadecimal digits that stand for what, beside the weights, decides the voxels of pseudo-labels."""
    modalities = sorted({case.modality for case in cases})
    settings = {
        name: {key: value for key, value in settings_of(ensemble, name).items() if value and key != PREPARATION}
        for name in modalities
    }
    values = {name: list(value_table(dataset, name).items()) for name in modalities}
    scans = {case.id: content_hash(case.image) for case in cases}
    return sha256(json.dumps([settings, values, scans], sort_keys=True).encode()).hexdigest()[:16]


def _require_to_label(recipe: Recipe, dataset: Dataset, names: Sequence[str], norms_of: str | None) -> None:
    """Raise InputError where round 0, once trained, could label nothing: before it is, not hours later."""
    trained = training_modalities(recipe, dataset)
    if norms_of is not None and norms_of not in trained:
        raise InputError(f"norms of {norms_of!r}: round 0 will not be trained on it; {known(list(trained))}")
    _unlabeled(dataset, names if norms_of else trained)


def _unlabeled(dataset: Dataset, modalities: Sequence[str]) -> list[CaseEntry]:
    """The unlabeled training cases of the modalities that the first run knows. Raises InputError if there is none."""
    unlabeled = dataset.of(split="train", labeled=False)
    cases = [case for case in unlabeled if case.modality in modalities]
    if not unlabeled:
        raise InputError(
            f"self-training: dataset {dataset.name} has no unlabeled training case, so there is nothing to label; list "
            'scans with "label": null on the training side, or take labels away (`unpaired labeled-fraction`)'
        )
    if not cases:
        raise InputError(
            f"self-training: dataset {dataset.name} has no unlabeled training case of {', '.join(modalities)}, the "
            "modalities that the first run knows; let a modality without labels borrow (randomization.borrowed=0.75), "
            "or name one whose norms are to label it (--norms-of)"
        )
    return cases


def _scored(
    predictor: Predictor, dataset: Dataset, names: Sequence[str], sure: dict[str, float], either: dict[str, float]
) -> Round:
    """A round with what can be seen of it without test labels."""
    validated: dict[str, float] = {}
    stability: dict[str, float] = {}
    for modality in (name for name in names if predictor.knows(name)):
        if labeled := dataset.of(modality, "validation", labeled=True):
            validated[modality] = validation_dice(predictor, dataset, labeled)
        elif scans := [case for case in dataset.of(modality, labeled=False) if case.split in ("train", "validation")]:
            stability[modality] = contrast_stability(predictor, scans[:SCANS_LOOKED_AT])
    return Round(str(predictor.run.folder), True, validated, stability, sure, either)
