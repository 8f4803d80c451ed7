"""The viewer of a comparison: a scan with its reference, and the label map of whichever method a reader chooses."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from unpaired.comparison.cells import number, short_title
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.records import CaseLoss
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.report.comparison_pictures import WORST_PER_MODALITY, troubled_structures, worst_seed
from unpaired.report.ranking import prediction_file
from unpaired.report.viewer import VIEWER_MB, Viewer, WantedCase, filled_viewer
from unpaired.scores.scores import higher_is_better


class Chosen(NamedTuple):
    """A case for the viewer: why, and the method whose errors are looked at first."""

    case: str
    method: str
    why: str


def build_comparison_viewer(
    comparison: Comparison,
    dataset: Dataset | None,
    predictions: Mapping[str, Sequence[Path]],
    budget_mb: float = VIEWER_MB,
) -> Viewer:
    """The viewer of a comparison; `predictions` are {method: a folder for each seed}.

    Ranked first: in each modality the largest losses against the baseline, the largest gain, and the case that is
    hardest for all; then cases with missed or invented classes, as far as the budget goes. Of several seeds the one
    with the worst value in the case is shown. Budget and errors as in `filled_viewer`.
    """
    keys = {name: f"method-{place}" for place, name in enumerate(comparison.names)}
    ranked = list(ranked_cases(comparison))
    known = {item.case for item in ranked}
    more: dict[str, Chosen] = {}
    for (case, class_name), methods in troubled_structures(comparison).items():
        if case not in known and case not in more:
            more[case] = Chosen(case, methods[0], f"{', '.join(methods)} missed or invented {class_name}")
    wanted = [
        WantedCase(
            item.case,
            item.why,
            {keys[name]: _file(comparison, predictions, name, item.case) for name in comparison.names},
            keys[item.method],
            item.case in known,
        )
        for item in [*ranked, *more.values()]
    ]
    return filled_viewer(dataset, wanted, {key: name for name, key in keys.items()}, budget_mb)


def ranked_cases(comparison: Comparison) -> Iterator[Chosen]:
    """Each case once, ranked by the first score: largest losses of each modality, largest gains, hardest cases."""
    columns = [list(_of_modality(comparison, modality)) for modality in comparison.modalities]
    seen: set[str] = set()
    for rank in range(max(map(len, columns), default=0)):
        for column in columns:
            if rank < len(column) and column[rank].case not in seen:
                seen.add(column[rank].case)
                yield column[rank]


def _of_modality(comparison: Comparison, modality: str) -> Iterator[Chosen]:
    """Losses, then a gain, then the hardest case; a case can come twice."""
    title = short_title(comparison.scores[0])
    changes: dict[str, CaseLoss] = {}
    for loss in comparison.losses():  # the largest first: a case is its worst method's
        if loss.modality == modality:
            changes.setdefault(loss.case, loss)
    losses = [loss for loss in changes.values() if loss.loss > 0]
    for loss in losses[:WORST_PER_MODALITY]:
        lost = number(comparison.scores[0], loss.loss)
        yield Chosen(loss.case, loss.method, f"{loss.method} loses {lost} {title} against {comparison.baseline}")
    gains = [loss for loss in comparison.losses() if loss.modality == modality and loss.loss < 0]
    if gains:
        gain = number(comparison.scores[0], -gains[-1].loss)
        why = f"{gains[-1].method} gains {gain} {title} against {comparison.baseline}"
        yield Chosen(gains[-1].case, gains[-1].method, why)
    yield from _hardest(comparison, modality)


def _hardest(comparison: Comparison, modality: str) -> Iterator[Chosen]:
    """The case with the worst mean over the methods, of those that every method has a value for."""
    score = comparison.scores[0]
    sign = 1 if higher_is_better(score) else -1
    values = {name: comparison.case_values[score, name] for name in comparison.names}
    cases = dict.fromkeys(row.case for row in comparison.reference.rows(modality))
    whole = [case for case in cases if all(case in by_case for by_case in values.values())]
    if whole:
        case = min(whole, key=lambda case: sign * fmean(by_case[case] for by_case in values.values()))
        worst = min(comparison.names, key=lambda name: sign * values[name][case])
        mean = number(score, fmean(by_case[case] for by_case in values.values()))
        yield Chosen(case, worst, f"the hardest: {mean} {short_title(score)} on average")


def _file(comparison: Comparison, predictions: Mapping[str, Sequence[Path]], name: str, case: str) -> Path | InputError:
    folders = predictions.get(name, ())
    if not folders:
        return InputError("nothing says where its label maps are")
    try:
        return prediction_file(folders[worst_seed(comparison, name, case)], case)
    except InputError as error:
        return error
