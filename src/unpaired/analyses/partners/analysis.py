"""How much predictions depend on the partner: every test case alone, beside its own patient's scans, beside the scan of
equal place in the sorted list, and beside random training patients' scans.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.analyses.partners.cases import CaseWork, Say, kept_scans, labeled_cases, score_cases
from unpaired.analyses.partners.computation import (
    place_partners,
    prepare_image,
    segment_with_partners,
)
from unpaired.analyses.partners.figure import draw_partners
from unpaired.analyses.partners.pairing import Partners, own_scans, random_partners, sorted_partners
from unpaired.analyses.partners.results import class_results, read_reference
from unpaired.analyses.partners.scores import ALONE, PartnerRow
from unpaired.analyses.partners.tables import PARTNERS, conclusion, summary_table, to_json, write_partner_tables
from unpaired.consent.modules import Trust
from unpaired.data.case import UnlabeledCase
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import read_image
from unpaired.data.manifest import as_dataset
from unpaired.data.overwriting import require_own_folder, subject, write_about
from unpaired.figures.style import write_figure
from unpaired.files import together
from unpaired.inference.known_cases import with_sides_of
from unpaired.inference.predictor import Predictor
from unpaired.runs.run import Run
from unpaired.tables import Table


@dataclass(frozen=True)
class PartnerStudy:
    """The rows of every case that could be read; `failures` are (case, one line)."""

    rows: list[PartnerRow]
    failures: list[tuple[str, str]]
    settings: dict[str, object]

    def table(self) -> Table:
        """A row per modality and class: mean Dice of each form, and how much it depends on the partner."""
        return summary_table(self.rows)

    def conclusion(self) -> str:
        """What to remember, in a sentence."""
        return conclusion(self.rows)

    def to_json(self) -> dict[str, Any]:
        """Everything but the rows as JSON values; Dice from 0 to 1."""
        return to_json(self.rows, self.settings)


def partners(
    run: Run | str | Path,
    data: Dataset | str | Path,
    out: str | Path,
    *,
    split: str = "test",
    partners: int = 5,
    seed: int = 0,
    weights: str = "best",
    device: str = "auto",
    trust: Trust = (),
    say: Say = lambda line: None,
) -> PartnerStudy:
    """Predict each case alone and beside scans of other modalities: how much does the answer depend on the partner?

    Beside: the same patient's scans where there are any, those of equal place in the sorted list (CMC's released
    pairing), random training patients'. Writes partners.csv, partners.json and a figure into `out`.

    run: a trained run of two modalities or more, or its folder.  data: a dataset with labels, or its manifest; its
    cases are on the sides that the run was trained with.  split: the side whose labeled cases are predicted.
    partners: how many random partners each case gets, drawn by `seed`; all there are if there are fewer.  weights:
    "best" (by validation Dice) or "last".  trust: modules of your own that the run may use.

    `say` gets a line for each case. A case that fails is among `failures`. Raises InputError, before any network runs,
    for a run of one modality, where there is no case or no partner for one; and if not a single case could be read.
    """
    predictor = Predictor(run, weights, device, trust=trust)
    dataset = with_sides_of(predictor.run, as_dataset(data))
    about = subject("partners", predictor.run.folder, data)
    require_own_folder(Path(out), PARTNERS, about)
    study = study_partners(predictor, dataset, split, partners, seed, say)
    with together():
        write_about(Path(out), about)
        write_partner_study(study, Path(out))
    return study


def study_partners(
    predictor: Predictor,
    dataset: Dataset,
    split: str = "test",
    partners: int = 5,
    seed: int = 0,
    say: Say = lambda line: None,
) -> PartnerStudy:
    """Predict and score every labeled case of a side in each form; see `analyses.partners.scores`.

    `dataset` has the run's sides (`inference.known_cases.with_sides_of`). Raises InputError before any network runs if
    the run knows one modality only, if there is no case, or no partner for one; and if not a single case could be read.
    """
    cases = labeled_cases(predictor, dataset, split)
    modalities = predictor.run.modalities
    plans = [_forms(dataset, case, modalities, partners, seed) for case in cases]
    prepared = kept_scans(predictor)
    work = [
        CaseWork(
            case.id,
            f"{case.id}, {number} of {len(cases)}: alone and beside {len(forms)} partners",
            partial(_case_rows, predictor, dataset, case, forms, prepared),
        )
        for number, (case, forms) in enumerate(zip(cases, plans, strict=True), start=1)
    ]
    rows, failures = score_cases(work, say)
    settings: dict[str, object] = {
        "run": predictor.run.called,
        "weights": predictor.weights,
        "dataset": dataset.name,
        "split": split,
        "partners": partners,
        "partners_from": "train",
        "seed": seed,
    }
    return PartnerStudy(rows, failures, settings)


def write_partner_study(study: PartnerStudy, out: Path) -> None:
    """Write partners.csv, partners.json, partners.svg and partners.png into a folder."""
    with together():
        write_partner_tables(study.rows, study.settings, out)
        write_figure(draw_partners(study.rows), out, "partners")


def _forms(
    dataset: Dataset, case: CaseEntry, modalities: Sequence[str], count: int, seed: int
) -> list[tuple[str, Partners]]:
    """Each form's name and partners; a form without a partner is left out."""
    named = [("own", own_scans(dataset, case, modalities)), ("sorted", sorted_partners(dataset, case, modalities))]
    draws = random_partners(dataset, case, modalities, count, seed)
    named += [(f"random {number}", draw) for number, draw in enumerate(draws, start=1)]
    return [(form, partners) for form, partners in named if partners]


def _case_rows(
    predictor: Predictor,
    dataset: Dataset,
    case: CaseEntry,
    forms: Sequence[tuple[str, Partners]],
    prepared: Callable[[CaseEntry], UnlabeledCase],
) -> Iterator[PartnerRow]:
    image = read_image(case.image)
    scan = prepare_image(predictor, image, case.modality, case.id, case.patient)
    reference = read_reference(dataset, case, image)
    alone = segment_with_partners(predictor, scan)
    done: dict[tuple[str, ...], tuple[np.ndarray, Mapping[str, str]]] = {}
    for form, partners in [(ALONE, {}), *forms]:
        ids = {name: partner.id for name, partner in partners.items()}
        key = tuple(ids.values())
        if key not in done:  # the scan of equal place in the list is often the patient's own
            volumes, alignments = place_partners(
                predictor, scan, {name: prepared(partner) for name, partner in partners.items()}
            )
            done[key] = (segment_with_partners(predictor, scan, volumes) if volumes else alone, alignments)
        label_map, alignments = done[key]
        for result in class_results(label_map, alone, reference, dataset.classes):
            yield PartnerRow(
                **vars(result),
                case=case.id,
                patient=case.patient,
                modality=case.modality,
                partners=ids,
                alignments=alignments,
                form=form,
            )
