"""How much predictions depend on the partner: every test case alone, beside its own patient's scans, beside the scan of
equal place in the sorted list, and beside random training patients' scans.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.data.case import UnlabeledCase
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import read_image
from unpaired.figures.style import write_figure
from unpaired.inference.predictor import Predictor
from unpaired.studies.partners.cases import CaseWork, Say, kept_scans, labeled_cases, score_cases
from unpaired.studies.partners.computation import (
    place_partners,
    prepare_image,
    segment_with_partners,
)
from unpaired.studies.partners.figure import draw_partners
from unpaired.studies.partners.pairing import Partners, own_scans, random_partners, sorted_partners
from unpaired.studies.partners.results import class_results, read_reference
from unpaired.studies.partners.scores import ALONE, PartnerRow
from unpaired.studies.partners.tables import write_partner_tables


@dataclass(frozen=True)
class PartnerStudy:
    """The rows of every case that could be read; `failures` are (case, one line)."""

    rows: list[PartnerRow]
    failures: list[tuple[str, str]]
    settings: dict[str, object]


def study_partners(
    predictor: Predictor,
    dataset: Dataset,
    split: str = "test",
    partners: int = 5,
    seed: int = 0,
    say: Say = lambda line: None,
) -> PartnerStudy:
    """Predict and score every labeled case of a side in each form; see `studies.partners.scores`.

    `dataset` has the run's sides (`inference.predict.with_sides_of`). Raises InputError before any network runs if the
    run knows one modality only, if there is no case, or no partner for one; and if not a single case could be read.
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
    settings = {
        "run": str(predictor.run.folder),
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
