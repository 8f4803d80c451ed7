"""What a reader must know before believing a run's scores: patients it was trained on, a region that tells too much."""

from collections.abc import Iterator

from unpaired.data.dataset import Dataset
from unpaired.files import is_object
from unpaired.runs.facts import RunFacts
from unpaired.scores.scores import Evaluation

SHOWN = 8


def run_warnings(facts: RunFacts, dataset: Dataset, evaluation: Evaluation) -> Iterator[str]:
    """One sentence for each thing that makes the scores flatter; nothing where the run's files don't say.

    `dataset` knows the patients of the run's cases, `evaluation` names the cases that were scored or failed.
    """
    tested = {row.case for row in evaluation.scores} | {failure.case for failure in evaluation.failures}
    if facts.split is not None:
        patient = {case.id: case.patient for case in dataset.cases}
        sides = [facts.split.get(side, []) for side in ("train", "validation")]
        seen = {patient[case] for side in sides for case in side if case in patient}
        leaked = sorted({patient[case] for case in tested if case in patient} & seen)
        if leaked:
            listed = ", ".join(leaked[:SHOWN]) + (" ..." if len(leaked) > SHOWN else "")
            yield f"Some scored patients were also used in training or validation ({listed}): the scores flatter."
    preprocessing = (facts.recipe or {}).get("preprocessing")
    if is_object(preprocessing) and preprocessing.get("roi") == "label":
        yield "Scans were cropped around the reference label, also at test time: the reference leaks into predictions."
