"""From an image to its label map by several trained runs together.

With several runs, mirrored or turned forms, the same scan is segmented several times. Their class probabilities are
averaged, every run counting alike, and each single prediction (a *member*) is kept, because what they disagree on is
where to look (see `scores.trust.uncertainty`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from unpaired.choices import several
from unpaired.data.case import Geometry
from unpaired.data.image import Image, require_image
from unpaired.data.postprocess import Postprocessing, postprocess
from unpaired.data.restore import restore_probabilities
from unpaired.errors import InputError
from unpaired.inference.predictor import Predictor
from unpaired.inference.segmentation import Part, Segmentation, gathered, likeliest
from unpaired.runs.postprocessing import postprocessing_of
from unpaired.runs.run import Run


class Ensemble:
    """Several runs that segment together: their probabilities are averaged on the image's own grid.

    `predictors` are some, or runs: a run, its folder, a folder of folds, a model file (all its runs). Runs get the
    device and weights that a `Predictor` chooses by itself, and the post-processing that `predict` gives them: what was
    found for a run, or for folds together; of several that are given here the first one's recipe, as nothing was found
    for these together. A `Predictor` that is given first decides that itself. Networks, methods and preparation may
    differ; classes and their order may not. Values are those of the first run. Raises InputError if classes differ.
    """

    def __init__(self, predictors: Predictor | Run | str | Path | Sequence[Predictor | Run | str | Path]) -> None:
        members = several(predictors)
        loaded = [predictor for given in members for predictor in _loaded(given, together=len(members) > 1)]
        if not loaded:
            raise InputError("expected at least one run to predict with, got none")
        self.predictors = [predictor.with_postprocessing(loaded[0].postprocessing) for predictor in loaded]
        first = self.predictors[0].run
        for other in self.predictors[1:]:
            if other.run.dataset.classes != first.dataset.classes:
                raise InputError(
                    f"run {other.run.called} has the classes {', '.join(other.run.dataset.classes)}, run "
                    f"{first.called} has {', '.join(first.dataset.classes)}; runs are averaged class by class"
                )

    def with_postprocessing(self, postprocessing: Postprocessing) -> "Ensemble":
        """These runs with other post-processing of what they segment together; their networks are the same."""
        return Ensemble([predictor.with_postprocessing(postprocessing) for predictor in self.predictors])

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of every run."""
        return self.predictors[0].run.dataset.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that every network was trained on."""
        first, *others = (predictor.modalities for predictor in self.predictors)
        return tuple(name for name in first if all(name in names for names in others))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs, in the order of the predictors."""
        return tuple(predictor.run for predictor in self.predictors)

    @property
    def postprocessing(self) -> Postprocessing:
        """What is done to label maps."""
        return self.predictors[0].postprocessing

    @property
    def size(self) -> int:
        """How many single predictions a label map is averaged from: mirrored and turned forms of all runs."""
        return sum(predictor.forms for predictor in self.predictors)

    def knows(self, modality: str) -> bool:
        """Whether every network was trained on this modality, or on one that stands for it."""
        return all(predictor.norms.knows(modality) for predictor in self.predictors)

    def check_modality(self, modality: str) -> None:
        """Raise InputError if one of the networks doesn't know the modality."""
        for predictor in self.predictors:
            predictor.check_modality(modality)

    def segment(self, image: Image, modality: str) -> np.ndarray:
        """Segment as `Predictor.segment` does, by all runs together."""
        return self.segment_case(image, modality, keep_members=False, keep_probabilities=False).label_map

    def segment_case(
        self, image: Image, modality: str, keep_members: bool = True, keep_probabilities: bool = True
    ) -> Segmentation:
        """Label map, members' label maps and class probabilities of an image.

        Memory: a float32 volume per class and distinct prepared grid, and a byte per voxel and member. A single
        prediction of which no probabilities are kept holds one window's depth of them at a time. Raises InputError for
        what `read_image` refuses in a file (an affine that places no scan, NaN), and for a bare array.
        """
        require_image(image)
        if self.size == 1 and not keep_probabilities:
            return Segmentation(self._finished(self.predictors[0].label_map(image, modality)), (), ())
        members: list[np.ndarray] = []
        keep = members if keep_members and self.size > 1 else None
        parts = self.parts(image, modality, keep)
        return Segmentation(self._finished(likeliest(parts)), tuple(members), parts)

    def label_map(self, image: Image, modality: str) -> np.ndarray:
        """The likeliest class of each voxel of an image, before post-processing."""
        if self.size == 1:
            return self.predictors[0].label_map(image, modality)
        return likeliest(self.parts(image, modality))

    def members(self, image: Image, modality: str) -> Iterator[tuple[np.ndarray, Geometry]]:
        """Each single prediction's class probabilities on its run's prepared grid, and the geometry that leads back."""
        for predictor in self.predictors:
            yield from predictor.members(image, modality)

    def parts(self, image: Image, modality: str, members: list[np.ndarray] | None = None) -> tuple[Part, ...]:
        """The averaged probabilities, a part per distinct prepared grid; each single label map goes into `members`."""
        self.check_modality(modality)
        return gathered(self._shared(image, modality, members))

    def _shared(
        self, image: Image, modality: str, members: list[np.ndarray] | None
    ) -> Iterator[tuple[np.ndarray, Geometry, float]]:
        for predictor in self.predictors:
            share = 1 / (len(self.predictors) * predictor.forms)
            for raw, geometry in predictor.members(image, modality):
                probabilities = self.smoothed(raw, geometry)
                if members is not None:
                    members.append(self._finished(restore_probabilities(probabilities, geometry)))
                yield probabilities, geometry, share

    def smoothed(self, probabilities: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Class probabilities on a prepared grid as post-processing smooths them."""
        return self.predictors[0].smoothed(probabilities, geometry)

    def probabilities(self, image: Image, modality: str) -> tuple[np.ndarray, Geometry]:
        """Averaged class probabilities on the prepared grid, and the geometry that leads back, as a `Predictor`'s.

        Raises InputError where the runs prepare images on different grids: `segment_case` averages them on the image's
        own.
        """
        parts = self.parts(image, modality)
        if len(parts) != 1:
            raise InputError(
                f"the runs prepare images on {len(parts)} different grids; take segment_case(image, modality)."
                "probabilities(), which are on the image's own"
            )
        return parts[0].probabilities, parts[0].geometry

    def remarks(self, image: Image, modality: str) -> tuple[str, ...]:
        """What is unusual about an image that is given as this modality, without being a reason to refuse it."""
        trained = [predictor for predictor in self.predictors if modality in predictor.run.modalities]
        said = [remark for predictor in trained for remark in predictor.check.remarks(image, modality)]
        return tuple(dict.fromkeys(said))

    def source_values(self, labels: np.ndarray, modality: str) -> np.ndarray:
        """A label map's values as `Predictor.source_values` of the first run has them."""
        return self.predictors[0].source_values(labels, modality)

    def _finished(self, label_map: np.ndarray) -> np.ndarray:
        return postprocess(label_map, self.postprocessing, self.classes)


def _loaded(given: Predictor | Run | str | Path, together: bool) -> list[Predictor]:
    """A predictor as it is, or those of a run, or of the folds in a folder; `together` with others that are given."""
    if isinstance(given, Predictor):
        return [given]
    runs = [given] if isinstance(given, Run) else Run.open_all(given)
    chosen = runs[0].recipe.postprocessing if together else postprocessing_of(runs, "best")[0]
    return [Predictor(run, postprocessing=chosen) for run in runs]
