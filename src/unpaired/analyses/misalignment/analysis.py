"""The robustness that CMC claims for misaligned modalities, measured: every test case beside a partner that is shifted,
turned or short of slices by known amounts.

The partner is the patient's own scan of the other modality where the dataset has it; else the scan of equal place in
the sorted list of the case's side, and if that side has none, the first draw of the training side. Aligned first as
`analyses.partners.alignment` says, then put out of place.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.analyses.misalignment.figure import draw_misalignment
from unpaired.analyses.misalignment.scores import ALONE, KINDS, MisalignmentRow
from unpaired.analyses.misalignment.tables import (
    MISALIGNMENT,
    conclusions,
    curve_table,
    to_json,
    write_misalignment_tables,
)
from unpaired.analyses.partners.alignment import ALIGNED, Misalignment, Missing
from unpaired.analyses.partners.cases import CaseWork, Say, kept_scans, labeled_cases, score_cases
from unpaired.analyses.partners.computation import place_partners, prepare_image, segment_with_partners
from unpaired.analyses.partners.pairing import Partners, own_scans, random_partners, sorted_partners
from unpaired.analyses.partners.results import class_results, read_reference
from unpaired.analyses.plan import common_dataset, own_run, read_members, require_unseen
from unpaired.choices import require_choice, require_seed, several
from unpaired.consent.modules import Trust
from unpaired.data.case import UnlabeledCase
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import read_image
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import require_own_folder, subject, write_about
from unpaired.data.simulated import of_patients
from unpaired.errors import InputError
from unpaired.figures.style import write_figure
from unpaired.files import remove, require_writable, together
from unpaired.inference.predictor import Predictor
from unpaired.runs.folder import RunFolder, place_of
from unpaired.tables import Table


@dataclass(frozen=True)
class Amounts:
    """By how much partners are put out of place; amount 0 is always there. An empty kind is left out.

    Raises InputError for a negative or endless amount, and if every kind is left out.
    """

    shift_mm: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 40.0)
    rotation_degrees: tuple[float, ...] = (0.0, 5.0, 10.0, 20.0, 40.0)
    missing_percent: tuple[float, ...] = (0.0, 25.0, 50.0, 75.0)
    missing: str = "nearest"
    """What stands in for missing slices, a choice of `analyses.partners.alignment.Missing`."""

    def __post_init__(self) -> None:
        require_choice(self.missing, Missing, "fill")
        if not any(self.of(kind) for kind in KINDS):
            raise InputError("expected shifts, rotations or missing slices to put partners out of place by, got none")
        for kind in KINDS:
            for amount in self.of(kind):
                self.misalignment(kind, amount)

    def of(self, kind: str) -> list[float]:
        """The amounts of a kind in rising order, 0 among them; empty if the kind is left out."""
        given = {"shift": self.shift_mm, "rotation": self.rotation_degrees, "missing": self.missing_percent}[kind]
        return sorted({0.0, *(float(amount) for amount in given)}) if given else []

    def misalignment(self, kind: str, amount: float) -> Misalignment:
        """The misalignment of a partner that an amount of a kind stands for, in the unit of `UNITS`."""
        if kind == "shift":
            return Misalignment(shift_mm=amount)
        if kind == "rotation":
            return Misalignment(rotation_degrees=amount)
        return Misalignment(missing_share=amount / 100, missing=self.missing)


@dataclass(frozen=True)
class MisalignmentStudy:
    """The rows of every case and run that could be read; `failures` are ("run, case", one line)."""

    rows: list[MisalignmentRow]
    failures: list[tuple[str, str]]
    settings: dict[str, object]
    folder: Path | None = None
    """Where tables and figure were written, if they were."""

    def table(self) -> Table:
        """A row per run, modality and kind: Dice alone and in place, then the change at each amount."""
        return curve_table(self.rows)

    def conclusions(self) -> list[str]:
        """A sentence on each run: that it doesn't use partners, or where it loses most, with the interval."""
        return conclusions(self.rows)

    def to_json(self) -> dict[str, Any]:
        """Everything but the rows as JSON values; Dice from 0 to 1."""
        return to_json(self.rows, self.settings)


def misalignment(
    runs: RunFolder | str | Path | Sequence[RunFolder | str | Path],
    *,
    data: Dataset | str | Path | None = None,
    out: str | Path | None = None,
    shifts: Sequence[float] = (0, 5, 10, 20, 40),
    rotations: Sequence[float] = (0, 5, 10, 20, 40),
    missing: Sequence[float] = (0, 25, 50, 75),
    fill: str = "nearest",
    split: str = "test",
    seed: int = 0,
    weights: str = "best",
    device: str = "auto",
    trust: Trust = (),
    say: Say = lambda line: None,
) -> MisalignmentStudy:
    """Predict each case beside a partner that is shifted, turned or short of slices: how fast does Dice fall?

    The partner is the same patient's scan of the other modality where there is one, else another patient's. Several
    runs come into one figure; one that uses no partner is a flat line. Writes misalignment.csv, misalignment.json and
    a figure.

    runs: trained runs of two modalities or more, as PATH or NAME=PATH.  data: the dataset or its manifest, if images
    have moved since training.  out: the folder for tables and figure (default: `misalignment` in the run; of several
    runs or a model file, in this folder).  shifts: in mm.  rotations: in degrees.  missing: in percent of the partner's
    slices.  fill: what stands in for a missing slice, the "nearest" that is there or a "blank" one.  split: the side
    whose labeled cases are predicted.  seed: draws directions, axes and slices for each case.  weights: "best" (by
    validation Dice) or "last".  trust: modules of your own that the runs may use.

    `say` gets a line for each case. A case that fails is among `failures`. Raises InputError, before any network runs,
    for runs or amounts that don't fit; and if not a single case could be read.
    """
    amounts = Amounts(*(tuple(several(of_kind)) for of_kind in (shifts, rotations, missing)), missing=fill)
    texts = [place_of(run) for run in several(runs)]
    known = None if data is None else as_dataset(data)
    predictors, dataset = read_predictors(texts, known, split, weights, device, trust)
    only = own_run(predictor.run for predictor in predictors.values())
    folder = Path(out) if out else Path("misalignment") if only is None else only.misalignment
    about = subject("misalignment", *(predictor.run.folder for predictor in predictors.values()))
    if out or only is None:  # a run's own folder is its own, wherever the run was moved
        require_own_folder(folder, MISALIGNMENT, about)
    require_writable(folder / MISALIGNMENT)
    study = study_misalignment(predictors, dataset, split, amounts, seed, say)
    with together():
        if out or only is None:
            write_about(folder, about)
        write_misalignment_study(study, folder)
    return replace(study, folder=folder)


def read_predictors(
    texts: Sequence[str],
    data: Dataset | None,
    split: str = "test",
    weights: str = "best",
    device: str = "auto",
    trust: Trust = (),
) -> tuple[dict[str, Predictor], Dataset]:
    """Runs from "PATH" or "NAME=PATH", and the dataset with the sides of the first.

    `data` says where images and labels are; None: the first run's own record. `trust` are modules outside the package
    that the runs may use. Raises InputError for no run at all, a folder that holds no run, a name that occurs twice,
    runs of other classes, and a run that learned from patients whom another is tested with.
    """
    members = read_members(texts, trust)
    bare = [member.name for member in members if member.run is None]
    if bare:
        raise InputError(f"{bare[0]} is not a run folder; partners need a network to run, not its label maps")
    runs = {member.name: member.run for member in members if member.run is not None}
    dataset = common_dataset(runs, data)
    for name, run in runs.items():
        cases = {modality: of_patients(dataset, modality, split, labeled=True) for modality in run.modalities}
        require_unseen(name, run, cases, split)
    return {name: Predictor(run, weights, device) for name, run in runs.items()}, dataset


def study_misalignment(
    predictors: Mapping[str, Predictor],
    dataset: Dataset,
    split: str = "test",
    amounts: Amounts | None = None,
    seed: int = 0,
    say: Say = lambda line: None,
) -> MisalignmentStudy:
    """Predict and score every labeled case of a side by every run, alone and at every amount.

    Raises InputError before any network runs if there is no run, if one knows a single modality or other classes, if
    there is no case, or no partner for one; and if not a single case could be read.
    """
    if not predictors:
        raise InputError("expected at least one run to look at, got none")
    require_seed(seed)
    amounts = amounts or Amounts()
    plans = {
        name: [
            (case, base_partners(dataset, case, predictor.run.modalities, seed))
            for case in labeled_cases(predictor, dataset, split)
        ]
        for name, predictor in predictors.items()
    }
    work: list[CaseWork[MisalignmentRow]] = []
    for name, plan in plans.items():
        prepared = kept_scans(predictors[name])
        for number, (case, partners) in enumerate(plan, start=1):
            rows = partial(_case_rows, name, predictors[name], dataset, case, partners, amounts, seed, prepared)
            work.append(CaseWork(f"{name}, {case.id}", f"{name}: {case.id}, {number} of {len(plan)}", rows))
    return MisalignmentStudy(*score_cases(work, say), _settings(predictors, dataset, split, amounts, seed))


def base_partners(dataset: Dataset, case: CaseEntry, modalities: Sequence[str], seed: int = 0) -> Partners:
    """The partner of each other modality that is put out of place, see the module's docstring.

    Raises InputError where a modality has no scan to take.
    """
    partners = {**sorted_partners(dataset, case, modalities), **own_scans(dataset, case, modalities)}
    lacking = [name for name in modalities if name not in partners and name != case.modality]
    if lacking:
        (drawn,) = random_partners(dataset, case, [case.modality, *lacking], 1, seed)
        partners |= drawn
    return {name: partners[name] for name in modalities if name in partners}


def write_misalignment_study(study: MisalignmentStudy, out: Path) -> None:
    """Write misalignment.csv, misalignment.json, misalignment.svg and misalignment.png into a folder."""
    with together():
        write_misalignment_tables(study.rows, study.settings, out)
        write_figure(draw_misalignment(study.rows), out, "misalignment")


def remove_misalignment_study(out: Path) -> None:
    """Remove what `write_misalignment_study` has written into a folder."""
    with together():
        for suffix in ("csv", "json", "svg", "png"):
            remove(out / f"misalignment.{suffix}")


def _case_rows(
    name: str,
    predictor: Predictor,
    dataset: Dataset,
    case: CaseEntry,
    partners: Partners,
    amounts: Amounts,
    seed: int,
    prepared: Callable[[CaseEntry], UnlabeledCase],
) -> Iterator[MisalignmentRow]:
    image = read_image(case.image)
    scan = prepare_image(predictor, image, case.modality, case.id, case.patient)
    reference = read_reference(dataset, case, image)
    scans = {modality: prepared(partner) for modality, partner in partners.items()}
    alone = segment_with_partners(predictor, scan)

    def rows(kind: str, amount: float, label_map: np.ndarray, ids: Mapping[str, str], how: Mapping[str, str]):
        for result in class_results(label_map, alone, reference, dataset.classes):
            yield MisalignmentRow(
                **vars(result),
                case=case.id,
                patient=case.patient,
                modality=case.modality,
                partners=ids,
                alignments=how,
                run=name,
                kind=kind,
                amount=amount,
            )

    yield from rows(ALONE, 0.0, alone, {}, {})
    ids = {modality: partner.id for modality, partner in partners.items()}
    done: dict[Misalignment, tuple[np.ndarray, dict[str, str]]] = {}
    for kind in KINDS:
        for amount in amounts.of(kind):
            wrong = amounts.misalignment(kind, amount) if amount else ALIGNED
            if wrong not in done:  # amount 0 is one prediction for all kinds
                volumes, how = place_partners(predictor, scan, scans, wrong, seed)
                done[wrong] = segment_with_partners(predictor, scan, volumes), how
            yield from rows(kind, amount, done[wrong][0], ids, done[wrong][1])


def _settings(
    predictors: Mapping[str, Predictor], dataset: Dataset, split: str, amounts: Amounts, seed: int
) -> dict[str, object]:
    return {
        "runs": {
            name: {**predictor.run.origin, "weights": predictor.weights} for name, predictor in predictors.items()
        },
        "dataset": dataset.name,
        "split": split,
        "amounts": {kind: amounts.of(kind) for kind in KINDS},
        "missing_slices": amounts.missing,
        "seed": seed,
    }
