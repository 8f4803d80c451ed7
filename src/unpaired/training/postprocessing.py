"""Post-processing that is kept only where it helps on validation cases, as nnU-Net determines it (Isensee et al. 2021).

First, which is ours, background gets the log odds of those tried that have the highest mean Dice, if that is above that
of none and no class of any modality falls by more than half a point, as it does by chance. Then probabilities are
smoothed, by the width that wins in the same way. Then the largest
part of all foreground together: kept if the mean Dice rises and no class of any modality falls. Then, on what that
left, the largest part of each class alone: kept if the class's Dice rises and falls in no modality. What rises by less
than `LEAST` counts as equal. A case in which neither mask shows a class doesn't count for it. Test cases are never
looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unpaired.consent.modules import Trust
from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.image import Image
from unpaired.data.images import read_image, read_label_map, require_same_grid
from unpaired.data.label_values import translate
from unpaired.data.postprocess import Postprocessing, keep_largest_component, keep_largest_foreground, shifted, smoothed
from unpaired.errors import InputError
from unpaired.files import require_writable
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.predictor import Predictor
from unpaired.inference.segmentation import Part, likeliest
from unpaired.runs.folder import POSTPROCESSING
from unpaired.runs.model_file import SUFFIX, run_folders
from unpaired.runs.postprocessing import FoundPostprocessing, Trial, write_found
from unpaired.runs.run import Run
from unpaired.runs.same_data import require_same_classes
from unpaired.scores.overlap import count_overlap, dice
from unpaired.training.validate import mean_dice

FOREGROUND = "all foreground"
PART, SMOOTHING, ODDS = "largest part of {}", "smoothing by {:g} mm", "background, +{:g} log odds"
"""What was tried, in words around a name or a number."""
WIDTHS_MM = (2.0, 3.0, 4.0)
"""The smoothings that are tried: standard deviations."""
LOG_ODDS = (0.5, 1.0)
"""What is tried for background: networks draw organs too large, so none is below 0."""
LEAST = 1e-4
"""What a step has to gain, in Dice: less isn't seen in the table of what was tried, and each costs time."""
FALL = 0.005
"""How far a class may fall where these lift the mean: they take no organ away, as keeping one part alone may."""
Means = Mapping[tuple[str, str], float]
"""{(modality, class): mean Dice}"""


@dataclass(frozen=True)
class TriedCase:
    """The Dice of each class of one prediction (None: in neither mask), in four forms: as it is (`raw`), of the largest
    foreground alone (`whole`), and each of these with only the class's own largest part."""

    modality: str
    raw: Mapping[str, float | None]
    whole: Mapping[str, float | None]
    raw_parts: Mapping[str, float | None]
    whole_parts: Mapping[str, float | None]


Tried = Mapping[float, Mapping[float, TriedCase]]
"""A case by log odds of background and by smoothing in mm, 0 among both."""


def find_postprocessing(
    run: Run | str | Path,
    *,
    weights: str = "best",
    device: str = "auto",
    trust: Trust = (),
    say: Callable[[str], None] = lambda line: None,
) -> FoundPostprocessing:
    """Find what helps a run, or each of the folds in a folder and all of them together, and write it down.

    Validation cases are predicted by the run that they validated, without post-processing. What helped stands in the
    run's `postprocessing.json`, and for folds also in the folder's, which is what comes back; `predict` applies it and
    says so. A fold alone gets what its own validation cases say: those of another fold may be its test cases.

    Raises InputError for a model file, which has no cases, a run without labeled validation cases, folds of other
    classes, scans or label maps that can't be read and, before any is predicted, a folder that can't be written.
    """
    folders = [run.folder] if isinstance(run, Run) else run_folders(run)
    if not isinstance(run, Run) and Path(run).suffix == SUFFIX:
        raise InputError(f"{run}: a model file has no validation cases; find it for the runs, then pack them")
    opened = [run] if isinstance(run, Run) else [Run.open(folder, trust) for folder in folders]
    for other in opened[1:]:
        advice = "keep the folds of one dataset in a folder"
        require_same_classes(other.called, other.dataset, opened[0].dataset, advice)
    shared = [opened[0].folder.parent] if len(opened) > 1 else []
    for folder in [*(each.folder for each in opened), *shared]:
        require_writable(folder / POSTPROCESSING)
    everything: list[Tried] = []
    hashes: list[str] = []
    for each in opened:
        predictor, cases = Predictor(each, weights, device, postprocessing=Postprocessing()), _cases(each)
        tried = [_tried(predictor, case, say) for case in cases]
        choice = _found(tried, each.dataset.classes, [predictor.weights_hash])
        say(f"wrote {write_found(choice, each.folder)}")
        everything += tried
        hashes.append(predictor.weights_hash)
    together = _found(everything, opened[0].dataset.classes, hashes)
    for folder in shared:
        say(f"wrote {write_found(together, folder)}")
    return together


def decide(cases: Sequence[TriedCase], classes: Sequence[str]) -> tuple[Postprocessing, tuple[Trial, ...]]:
    """What helps on these predictions, and what was tried; `classes` are the foreground's."""
    raw, whole = (_means(cases, form, classes) for form in ("raw", "whole"))
    foreground = _helps(raw, whole) and not _falls(raw, whole)
    trials = [Trial(PART.format(FOREGROUND), mean_dice(raw), mean_dice(whole), foreground)]
    before = whole if foreground else raw
    after = _means(cases, "whole_parts" if foreground else "raw_parts", classes)
    helped: list[str] = []
    for name in classes if len(classes) > 1 else ():  # of a single class it is what was tried already
        old, new = ({key: value for key, value in means.items() if key[1] == name} for means in (before, after))
        better = bool(old and new) and _helps(old, new) and not _falls(old, new)
        trials.append(
            Trial(PART.format(name), mean_dice(old) if old else None, mean_dice(new) if new else None, better)
        )
        helped += [name] if better else []
    return Postprocessing(tuple(helped), foreground), tuple(trials)


def decide_number(
    cases: Sequence[Mapping[float, TriedCase]], classes: Sequence[str], words: str
) -> tuple[float, tuple[Trial, ...]]:
    """The log odds, or the smoothing in mm, that helps most, 0 for none, and what was tried, in `words` around a
    number; each case by that number, 0 among them."""
    numbers = sorted(cases[0])
    means = {number: _means([case[number] for case in cases], "raw", classes) for number in numbers}
    harmless = [number for number in numbers if not _falls(means[0.0], means[number], FALL)]
    most = max(harmless, key=lambda number: mean_dice(means[number]))
    best = next(number for number in harmless if not _helps(means[number], means[most]))  # of equals the smallest
    before, tried = mean_dice(means[0.0]), numbers[1:]
    return best, tuple(Trial(words.format(each), before, mean_dice(means[each]), each == best) for each in tried)


def try_case(
    labels: np.ndarray, truth: np.ndarray, modality: str, classes: Sequence[str], sets: Sequence[Sequence[int]]
) -> TriedCase:
    """The Dice of one prediction (class numbers) in all forms; `truth` holds indices into `sets` (`count_overlap`)."""

    def scores(label_map: np.ndarray) -> dict[str, float | None]:
        overlap = count_overlap(label_map, truth, sets)
        return {
            name: dice(int(overlap.both[number]), int(overlap.predicted[number]), int(overlap.reference[number]))
            for number, name in enumerate(classes)
            if number
        }

    whole = keep_largest_foreground(labels)
    numbers = range(1, len(classes))  # a class's own part touches no other class: all at once is each alone
    parts = [scores(keep_largest_component(label_map, numbers)) for label_map in (labels, whole)]
    return TriedCase(modality, scores(labels), scores(whole), *parts)


def _cases(run: Run) -> list[CaseEntry]:
    cases = [case for case in run.dataset.of(split="validation", labeled=True) if case.modality in run.modalities]
    if not cases:
        raise InputError(f"{run.folder}: no labeled case validated it; split with --validation above 0 and train anew")
    return cases


def _tried(predictor: Predictor, case: CaseEntry, say: Callable[[str], None]) -> Tried:
    """One case by the log odds that background got, and by the width in mm that it was smoothed by then."""
    dataset: Dataset = predictor.run.dataset
    assert case.label is not None  # `_cases` gives labeled ones
    image, reference = read_image(case.image), read_label_map(case.label)
    require_same_grid(image, reference, case.label)
    sets = dataset.label_sets()
    numbers = {members: index for index, members in enumerate(sets)}
    encoded = {value: numbers[members] for value, members in encode_values(dataset, case).items()}
    truth = translate(reference.array, encoded, case.label)
    say(f"{predictor.run.folder.name}: {case.id}")
    result: dict[float, dict[float, TriedCase]] = {}
    for odds, given in _by_odds(predictor, image, case.modality):
        result[odds] = {}
        for width in (0.0, *WIDTHS_MM):
            answers = [smoothed(part.probabilities, part.geometry.spacing_mm, width) for part in given]
            labels = likeliest([replace(part, probabilities=each) for part, each in zip(given, answers, strict=True)])
            result[odds][width] = try_case(labels, truth, case.modality, dataset.classes, sets)
    return result


def _by_odds(predictor: Predictor, image: Image, modality: str) -> Iterator[tuple[float, Sequence[Part]]]:
    """The averaged probabilities by the log odds that background got: as `predict` gives them, to each form of the scan
    before these are averaged. A scan in one form is segmented once for all."""
    parts = Ensemble([predictor]).parts(image, modality)
    yield 0.0, parts
    for odds in LOG_ODDS:
        if predictor.forms == 1:
            yield odds, [replace(part, probabilities=shifted(part.probabilities, odds)) for part in parts]
            continue
        asked = replace(predictor.postprocessing, background_log_odds=odds)
        yield odds, Ensemble([predictor.with_postprocessing(asked)]).parts(image, modality)


def _found(tried: Sequence[Tried], classes: Sequence[str], hashes: Sequence[str]) -> FoundPostprocessing:
    odds, all_odds = decide_number([{odds: case[odds][0.0] for odds in case} for case in tried], classes[1:], ODDS)
    width, widths = decide_number([case[odds] for case in tried], classes[1:], SMOOTHING)
    chosen, trials = decide([case[odds][width] for case in tried], classes[1:])
    assert chosen.largest_component != "all"  # names are what it gives
    parts = chosen.largest_foreground, chosen.largest_component
    return FoundPostprocessing(*parts, tuple(hashes), len(tried), (*all_odds, *widths, *trials), width, odds)


def _means(cases: Sequence[TriedCase], form: str, classes: Sequence[str]) -> dict[tuple[str, str], float]:
    values: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for name in classes:
            value: float | None = getattr(case, form)[name]
            if value is not None:
                values.setdefault((case.modality, name), []).append(value)
    return {key: float(np.mean(scores)) for key, scores in values.items()}


def _helps(before: Means, after: Means) -> bool:
    return mean_dice(after) - mean_dice(before) >= LEAST


def _falls(before: Means, after: Means, by: float = 0.0) -> bool:
    return any(after[key] < value - by for key, value in before.items() if key in after)
