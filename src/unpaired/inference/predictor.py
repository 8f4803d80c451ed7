"""From an image to its label map: one trained run (`Predictor`), or several of them together (`Ensemble`).

With mirroring, or with several runs, the same scan is segmented several times. Their class probabilities are averaged,
every run counting alike, and each single prediction (a *member*) is kept, because what they disagree on is where to
look (see `scores.trust.uncertainty`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from unpaired.consent.modules import Trust
from unpaired.data.case import Geometry
from unpaired.data.image import Image, require_image
from unpaired.data.postprocess import Postprocessing, postprocess
from unpaired.data.preprocess import apply
from unpaired.data.restore import Box, restore_boxes, restore_probabilities
from unpaired.errors import InputError
from unpaired.inference.backends.engines import Backend
from unpaired.inference.backends.segmenter import BackendSegmenter
from unpaired.inference.devices import choose_device
from unpaired.inference.engine.engine import WindowEngine
from unpaired.inference.engine.plans import EngineName, Precision
from unpaired.inference.mirroring import Mirroring, mirroring_of, require_mirrored_training
from unpaired.inference.modality_check import ModalityCheck
from unpaired.inference.norms import NormChoice
from unpaired.inference.pages import keep_pages
from unpaired.inference.prepared import Segmenter, segment_prepared, segmenter_of
from unpaired.inference.segmentation import Part, Segmentation, likeliest
from unpaired.inference.windows import leanest_order, whole
from unpaired.runs.postprocessing import postprocessing_of, weights_hash
from unpaired.runs.run import Run


class Predictor:
    """A trained run, loaded once: images in, label maps out.

    `weights` is "best" (by validation Dice) or "last". `postprocessing` replaces what `find_postprocessing` found, or
    else the recipe's. With `mirror` the scan is segmented in every mirrored form along the axes of `mirroring_of` and
    the probabilities are averaged, which a run trained without mirroring refuses unless `mirror_anyway` says so too. A
    scan that contradicts the modality it is given as (`ModalityCheck`) is refused unless `modality_anyway`. Only the
    network is used, none of the method's training parts. `trust` are modules outside the package that a run read from a
    path may use.

    `backend` "onnxruntime" or "openvino" computes the network on the processor in torch's place; where it doesn't say
    the same as torch, torch goes on and `report` gets a line. In torch a `WindowEngine` chooses how windows are
    computed on this machine, unless `engine` is "plain"; `precision` "bf16" lets it take bfloat16. `overlap` is the
    share that neighboring windows have in common, in place of the recipe's.

    A scan of a modality that the run was not trained on is refused, or with `norms_of` prepared and segmented as that
    modality. With `adaptive_norms` batch norms take the statistics of each scan itself in place of the training's.
    """

    def __init__(
        self,
        run: Run | str | Path,
        weights: str = "best",
        device: str = "auto",
        postprocessing: Postprocessing | None = None,
        mirror: bool = False,
        mirror_anyway: bool = False,
        trust: Trust = (),
        backend: Backend = "torch",
        report: Callable[[str], None] = lambda line: None,
        modality_anyway: bool = False,
        norms_of: str | None = None,
        adaptive_norms: bool = False,
        precision: Precision = "float32",
        engine: EngineName = "auto",
        overlap: float | None = None,
    ) -> None:
        self.run = run if isinstance(run, Run) else Run.open(run, trust)
        self.postprocessing, said = (
            postprocessing_of(self.run, weights) if postprocessing is None else (postprocessing, "")
        )
        if said:
            report(said)
        self.postprocessing.class_numbers(self.run.dataset.classes)  # refuse a misspelled class at once
        if mirror and not mirror_anyway:
            require_mirrored_training(self.run)
        self.mirroring = mirroring_of(self.run) if mirror or mirror_anyway else Mirroring()
        if backend != "torch" and device not in ("auto", "cpu"):
            raise InputError(f"backend {backend} computes on the processor, not on {device!r}; leave --device out")
        self.device = choose_device(device if backend == "torch" else "cpu")
        if self.device.type == "cpu":
            keep_pages()
        recipe = self.run.recipe
        self.recipe = recipe if overlap is None else replace(recipe, window_overlap=overlap)
        self.weights = weights
        self.classes, self.modalities = self.run.dataset.classes, self.run.modalities
        self.check = ModalityCheck(self.run)
        self.modality_anyway = modality_anyway
        self.norms = NormChoice(self.run, norms_of, adaptive_norms)
        self.method = self.run.load_method(weights).to(self.device)
        self.segmenter: Segmenter = segmenter_of(
            self.method, recipe, self.device, backend, precision, "plain" if adaptive_norms else engine, report
        )
        self.norms.require_statistics(self.method.network, backend)

    @cached_property
    def weights_hash(self) -> str:
        """The first sixteen hexadecimal digits of the weight file's SHA-256: which network it was."""
        return weights_hash(self.run.weights(self.weights))

    @property
    def mirrored(self) -> tuple[str, ...]:
        """The axes of the prepared volume that are mirrored."""
        return self.mirroring.axes

    @property
    def views(self) -> list[tuple[int, ...]]:
        """The sets of volume axes to mirror, one prediction each; the scan as it is comes first."""
        return self.mirroring.views

    def prepared(self, image: Image, modality: str) -> tuple[np.ndarray, Geometry]:
        """An image as the network wants it, (depth, height, width), and the geometry that leads back.

        With adaptive norms the network has taken its statistics of it. Raises InputError for a modality that the run
        doesn't know, and for an image that contradicts it.
        """
        self.check_modality(modality)
        if not self.modality_anyway and modality in self.run.modalities:
            self.check.require(image, modality)
        volume, geometry = apply(image, self.run.recipe.preprocessing, self.norms.options(modality))
        with self.norms.adapting(self.method.network) as looks:
            for _ in self._boxes(volume, modality, each_window=True) if looks else ():
                pass
        return volume, geometry

    def _boxes(
        self,
        volume: np.ndarray,
        modality: str,
        order: tuple[int, int, int] = (0, 1, 2),
        each_window: bool = False,
    ) -> Iterator[Box]:
        return segment_prepared(
            self.segmenter,
            self.recipe,
            volume,
            self.norms.modality(modality),
            self.device,
            order=order,
            each_window=each_window,
        )

    def members(self, image: Image, modality: str) -> Iterator[tuple[np.ndarray, Geometry]]:
        """Each single prediction's class probabilities on the prepared grid, and the geometry that leads back."""
        volume, geometry = self.prepared(image, modality)
        for axes in self.views:
            mirrored = np.ascontiguousarray(np.flip(volume, axes))
            probabilities = whole(self._boxes(mirrored, modality), volume.shape).numpy()
            yield self.mirroring.undone(probabilities, axes), geometry

    def label_map(self, image: Image, modality: str) -> np.ndarray:
        """The likeliest class of each voxel of an image as it is, not mirrored, before post-processing.

        What is held per class is what neighboring windows share, however deep the scan is.
        """
        volume, geometry = self.prepared(image, modality)
        lean = leanest_order(volume.shape, self.recipe.patch_size)
        order = (0, 1, 2) if self.method.network.mixes_images else lean
        return restore_boxes(self._boxes(volume, modality, order), geometry.transposed(order))

    def probabilities(self, image: Image, modality: str) -> tuple[np.ndarray, Geometry]:
        """Class probabilities on the prepared grid, averaged over mirrored forms, and the geometry that leads back."""
        (part,) = Ensemble([self]).parts(image, modality)
        return part.probabilities, part.geometry

    def segment(self, image: Image, modality: str) -> np.ndarray:
        """The label map of an image, on the image's own grid and axes, as class numbers (uint8).

        Raises InputError for a bare array: without an affine nothing says how large its voxels are, nor where the
        patient's left is. `Image(array, affine)` says both; `numpy.eye(4)` means 1 mm, axes to right, front and top.
        """
        return Ensemble([self]).segment(image, modality)

    def source_values(self, labels: np.ndarray, modality: str) -> np.ndarray:
        """Class numbers as the values that the training files of this modality use (500 for LV, say)."""
        values = np.array(self.norms.values(modality))
        kind = next(k for k in (np.uint8, np.int16, np.int32, np.int64) if _holds(k, values))
        return values.astype(kind)[labels]

    def backend(self, modality: str) -> Backend:
        """What computes images of a modality: known once one of them has been segmented."""
        segmenter = self.segmenter
        used = isinstance(segmenter, BackendSegmenter)
        return segmenter.used(self.norms.modality(modality)) if used else "torch"

    def precision(self, modality: str) -> Precision:
        """What images of a modality are computed in: known once one of them has been segmented."""
        segmenter = self.segmenter
        if isinstance(segmenter, WindowEngine):
            return segmenter.chosen_precision
        return segmenter.chosen_precision(self.norms.modality(modality))

    def check_modality(self, modality: str) -> None:
        """Raise InputError if the run's network doesn't know the modality and no other is to stand for it."""
        self.norms.modality(modality)


class Ensemble:
    """Several runs that segment together: their probabilities are averaged on the image's own grid.

    Networks, methods and preparation may differ; classes and their order may not. Values and post-processing are those
    of the first run. Raises InputError if classes differ.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        if not predictors:
            raise InputError("expected at least one run to predict with, got none")
        self.predictors = list(predictors)
        first = self.predictors[0].run
        for other in self.predictors[1:]:
            if other.run.dataset.classes != first.dataset.classes:
                raise InputError(
                    f"run {other.run.folder} has the classes {', '.join(other.run.dataset.classes)}, run "
                    f"{first.folder} has {', '.join(first.dataset.classes)}; runs are averaged class by class"
                )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of every run."""
        return self.predictors[0].run.dataset.classes

    @property
    def size(self) -> int:
        """How many single predictions a label map is averaged from: mirrored forms of all runs."""
        return sum(len(predictor.views) for predictor in self.predictors)

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

    def parts(self, image: Image, modality: str, members: list[np.ndarray] | None = None) -> tuple[Part, ...]:
        """The averaged probabilities, a part per distinct prepared grid; each single label map goes into `members`."""
        self.check_modality(modality)
        sums: dict[Geometry, np.ndarray] = {}
        shares: dict[Geometry, float] = {}
        for predictor in self.predictors:
            share = 1 / (len(self.predictors) * len(predictor.views))
            for probabilities, geometry in predictor.members(image, modality):
                if members is not None:
                    members.append(self._finished(restore_probabilities(probabilities, geometry)))
                weighted = probabilities if share == 1 else probabilities * np.float32(share)
                if geometry in sums:  # resampling is linear, so what shares a grid can be averaged before it
                    sums[geometry] += weighted
                else:
                    sums[geometry] = weighted
                shares[geometry] = shares.get(geometry, 0.0) + share
        return tuple(Part(sums[geometry], geometry, shares[geometry]) for geometry in sums)

    def remarks(self, image: Image, modality: str) -> tuple[str, ...]:
        """What is unusual about an image that is given as this modality, without being a reason to refuse it."""
        trained = [predictor for predictor in self.predictors if modality in predictor.run.modalities]
        said = [remark for predictor in trained for remark in predictor.check.remarks(image, modality)]
        return tuple(dict.fromkeys(said))

    def source_values(self, labels: np.ndarray, modality: str) -> np.ndarray:
        """A label map's values as `Predictor.source_values` of the first run has them."""
        return self.predictors[0].source_values(labels, modality)

    def _finished(self, label_map: np.ndarray) -> np.ndarray:
        return postprocess(label_map, self.predictors[0].postprocessing, self.classes)


def _holds(kind: type[np.integer], values: np.ndarray) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= values.min() and values.max() <= limits.max)
