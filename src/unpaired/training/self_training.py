"""Self-training: a network labels the scans that have no label, and the next one learns from these labels too.

In rounds (Yarowsky, 1995; Lee, "Pseudo-Label", 2013; Xie et al., "Noisy Student", CVPR 2020). Pseudo-labels are
partial: where the network wavers between two classes, or knows nothing, they say just that (`inference.pseudo_labels`).
A round counts only if it is better than the best one so far; the first that isn't ends it. Better by what can be seen
without test labels: a modality with labeled validation cases by its Dice there, one without by how little its label
maps depend on contrast (`training.stability`), which is a hint, not a measurement.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from unpaired.consent.modules import Trust, load_trusted
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import Subject, require_own_folder, write_about
from unpaired.data.split import Split, as_split
from unpaired.errors import InputError
from unpaired.files import write_json
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.predictor import Predictor
from unpaired.inference.pseudo_labels import PseudoLabeled, write_pseudo_labels
from unpaired.overrides import Changes
from unpaired.recipe import Recipe, override
from unpaired.recipes import find_recipe
from unpaired.runs.run import Run
from unpaired.tables import DASH, Table
from unpaired.training.loop import Hardware, train
from unpaired.training.stability import contrast_stability, validation_dice

ROUNDS = "self_training.json"
"""The file of a self-training that says what each round had, and which was kept."""
SCANS_LOOKED_AT = 6
"""Unlabeled scans of a modality that tell how stable its label maps are."""


@dataclass(frozen=True)
class Round:
    """One round: its run, whether it was kept, {modality: 0..1} of what it is judged by, and what it learned from:
    {modality: share} of voxels with a pseudo-label of one class, and of either of two."""

    run: str
    kept: bool
    dice: dict[str, float]
    """{modality: mean Dice of labeled validation cases}."""
    stability: dict[str, float]
    """{modality: stability of unlabeled scans}, of modalities without labeled validation cases."""
    sure: dict[str, float]
    either: dict[str, float]

    @property
    def score(self) -> float:
        """The mean over modalities."""
        return float(np.mean([*self.dice.values(), *self.stability.values()]))


@dataclass(frozen=True)
class SelfTraining:
    """The rounds in turn; the last one that was kept is the answer."""

    rounds: tuple[Round, ...]

    @property
    def run(self) -> Run:
        """The run of the last round that was kept."""
        return Run(next(done.run for done in reversed(self.rounds) if done.kept))

    def table(self) -> Table:
        """A row for each round: what it is judged by, in percent, and what it learned from."""
        validated, unseen = self.rounds[0].dice, self.rounds[0].stability
        head = ["round", *(f"Dice {name}" for name in validated), *(f"stability {name}" for name in unseen), "mean"]
        rows = [
            [
                Path(done.run).name,
                *(f"{100 * value:.1f}" for value in (*done.dice.values(), *done.stability.values(), done.score)),
                ", ".join(f"{name} {100 * share:.1f} %" for name, share in done.sure.items()) or DASH,
                "yes" if done.kept else "no",
            ]
            for done in self.rounds
        ]
        notes = [
            "Dice: labeled validation cases. Stability: how alike label maps of unlabeled scans stay when contrast "
            "changes at random; a hint, no measurement.",
            "Labeled: voxels with a pseudo-label of one class.",
        ]
        return Table([*head, "labeled", "kept"], rows, "l" + "r" * len(head[1:]) + "ll", notes=notes)


def self_train(
    recipe: Recipe | str,
    data: Dataset | str | Path,
    runs: str | Path,
    *,
    rounds: int = 2,
    confidence: float = 0.9,
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

    Raises InputError for labels there that another teacher or confidence made, if there is no unlabeled training case
    of a modality that round 0 knows or `norms_of` stands for, for a recipe that takes unlabeled images itself (train it
    first, and give its run as `teacher`), and for numbers that make no sense.
    """
    if rounds < 1 or not 0.5 < confidence <= 1:
        raise InputError(f"expected 1 round or more and a confidence above 0.5 up to 1, got {rounds} and {confidence}")
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
    if teacher is None:
        best = train(chosen, dataset, folder / "round0", hardware=hardware, cache=folder / "prepared", show=show)
    else:
        best = teacher if isinstance(teacher, Run) else Run.open(teacher, trust)
    names = chosen.modalities or tuple(dataset.modalities)
    predictor = Predictor(best, device=device, norms_of=norms_of)
    unlabeled = _unlabeled(dataset, predictor, names)
    done = [_judged(predictor, dataset, names, {}, {})]
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
        done.append(_judged(predictor, dataset, names, told.sure, told.either, done[-1]))
        write_json(folder / ROUNDS, [asdict(of) | {"score": of.score} for of in done])
        if not done[-1].kept:
            break
    return SelfTraining(tuple(done))


def _labeled(
    teacher: Predictor,
    dataset: Dataset,
    cases: list[CaseEntry],
    place: Path,
    confidence: float,
    say: Callable[[str], None],
) -> PseudoLabeled:
    """The dataset with a teacher's labels. Raises InputError where another one's, or surer ones, lie at `place`."""
    about = Subject("self-train", (f"confidence {confidence:g}", f"weights {teacher.weights_hash}"))
    require_own_folder(place, f"{cases[0].id}.nii.gz", about)
    write_about(place, about)
    return write_pseudo_labels(Ensemble([teacher]), dataset, cases, place, confidence, say)


def _unlabeled(dataset: Dataset, teacher: Predictor, names: Sequence[str]) -> list[CaseEntry]:
    known = [name for name in names if teacher.knows(name)]
    cases = [case for case in dataset.of(split="train", labeled=False) if case.modality in known]
    if not cases:
        raise InputError(
            f"self-training: dataset {dataset.name} has no unlabeled training case of {', '.join(known)}, the "
            "modalities that the first run knows; let a modality without labels borrow (randomization.borrowed=0.75), "
            "or name one whose norms are to label it (--norms-of)"
        )
    return cases


def _judged(
    predictor: Predictor,
    dataset: Dataset,
    names: Sequence[str],
    sure: dict[str, float],
    either: dict[str, float],
    best: Round | None = None,
) -> Round:
    """A round by what can be seen without test labels; kept if it is the first, or better than the best so far."""
    validated: dict[str, float] = {}
    stability: dict[str, float] = {}
    for modality in (name for name in names if predictor.knows(name)):
        if labeled := dataset.of(modality, "validation", labeled=True):
            validated[modality] = validation_dice(predictor, dataset, labeled)
        elif scans := [case for case in dataset.of(modality, labeled=False) if case.split in ("train", "validation")]:
            stability[modality] = contrast_stability(predictor, scans[:SCANS_LOOKED_AT])
    judged = Round(str(predictor.run.folder), True, validated, stability, sure, either)
    return judged if best is None else replace(judged, kept=judged.score > best.score)
