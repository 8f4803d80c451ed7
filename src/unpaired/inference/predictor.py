"""From an image to its label map by one trained run; `inference.ensemble` has several of them segment together."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from unpaired.consent.modules import Trust
from unpaired.data.case import Geometry
from unpaired.data.image import Image, require_image
from unpaired.data.postprocess import Postprocessing, postprocess, smoothed
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
from unpaired.inference.request import both_ways
from unpaired.inference.segmentation import Part, gathered, likeliest
from unpaired.inference.turning import require_turned_training, turned, turned_back
from unpaired.inference.windows import leanest_order, whole
from unpaired.runs.postprocessing import postprocessing_of, weights_hash
from unpaired.runs.run import Run


class Predictor:
    """A trained run, loaded once: images in, label maps out.

    `weights` is "best" (by validation Dice) or "last". `postprocessing` replaces what `find_postprocessing` found, or
    else the recipe's. With `mirror` the scan is segmented in every mirrored form along the axes of `mirroring_of` and
    the probabilities are averaged, which a run trained without mirroring refuses unless `mirror_anyway` says so too.
    `turned` are angles in degrees: the scan is segmented turned in its slices by each of them too, both ways, by at
    most what training turned slices by; none are the recipe's `turned_degrees`, and (0,) is the scan as it is. A scan
    that contradicts the modality it is given as (`ModalityCheck`) is refused unless `modality_anyway`. Only the
    network is used, none of the method's training parts. `trust` are modules outside the package that a run read from a
    path may use.

    `backend` "onnxruntime" or "openvino" computes the network on the processor in torch's place; where it doesn't say
    the same as torch, torch goes on and `report` gets a line. In torch a `WindowEngine` chooses how windows are
    computed on this machine, unless `engine` is "plain"; "compiled" takes what `torch.compile` makes of the network
    (on a GPU as a CUDA graph). `precision` "bf16" lets it take bfloat16. `overlap` is the share that neighboring
    windows have in common, in place of the recipe's.

    A scan of a modality that the run was not trained on is refused, or with `norms_of` prepared and segmented as that
    modality. With `adaptive_norms` batch norms take the statistics of each scan itself in place of the training's.
    """

    def __init__(
        self,
        run: Run | str | Path,
        weights: str = "best",
        device: str = "auto",
        *,
        postprocessing: Postprocessing | None = None,
        backend: Backend = "torch",
        precision: Precision = "float32",
        engine: EngineName = "auto",
        overlap: float | None = None,
        mirror: bool = False,
        mirror_anyway: bool = False,
        turned: Sequence[float] = (),
        modality_anyway: bool = False,
        norms_of: str | None = None,
        adaptive_norms: bool = False,
        trust: Trust = (),
        report: Callable[[str], None] = lambda line: None,
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
        self.turned = both_ways(turned or self.run.recipe.turned_degrees)
        require_turned_training(self.run, self.turned)
        if backend != "torch" and device not in ("auto", "cpu"):
            raise InputError(f"backend {backend} computes on the processor, not on {device!r}; leave --device out")
        self.device = choose_device(device if backend == "torch" else "cpu")
        if self.device.type == "cpu":
            keep_pages()
        recipe = self.run.recipe
        overlap = recipe.window_overlap if overlap is None else overlap
        self.recipe = replace(recipe, window_overlap=overlap, postprocessing=self.postprocessing)
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

    def with_postprocessing(self, postprocessing: Postprocessing) -> "Predictor":
        """This predictor with other post-processing: itself where that is its own, else one with the same network."""
        if postprocessing == self.postprocessing:
            return self
        other = copy.copy(self)
        other.postprocessing = postprocessing
        other.recipe = replace(self.recipe, postprocessing=postprocessing)
        return other

    @cached_property
    def weights_hash(self) -> str:
        """The first sixteen hexadecimal digits of the weight file's SHA-256: which network it was."""
        return weights_hash(self.run.weights(self.weights))

    @property
    def mirrored(self) -> tuple[str, ...]:
        """The axes of the prepared volume that are mirrored."""
        return self.mirroring.axes

    @property
    def forms(self) -> int:
        """In how many forms a scan is segmented: as it is, mirrored, turned."""
        return len(self.mirroring.views) + len(self.turned)

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
        unturned = np.empty(0)
        for axes in self.mirroring.views:
            mirrored = np.ascontiguousarray(np.flip(volume, axes))
            probabilities = whole(self._boxes(mirrored, modality), volume.shape).numpy()
            unturned = probabilities if self.turned and not axes else unturned
            yield self.mirroring.undone(probabilities, axes), geometry
        for degrees in self.turned:
            shown = turned(volume, degrees, geometry.spacing_mm)
            probabilities = whole(self._boxes(shown, modality), volume.shape).numpy()
            yield turned_back(probabilities, degrees, geometry.spacing_mm, unturned), geometry

    def label_map(self, image: Image, modality: str) -> np.ndarray:
        """The likeliest class of each voxel of an image as it is, in one form, smoothed but not yet post-processed.

        What is held per class is what neighboring windows share, however deep the scan is; with smoothing a volume.
        """
        volume, geometry = self.prepared(image, modality)
        if self.postprocessing.smoothing_mm:
            probabilities = whole(self._boxes(volume, modality), volume.shape).numpy()
            return restore_probabilities(self.smoothed(probabilities, geometry), geometry)
        lean = leanest_order(volume.shape, self.recipe.patch_size)
        order = (0, 1, 2) if self.method.network.mixes_images else lean
        return restore_boxes(self._boxes(volume, modality, order), geometry.transposed(order))

    def smoothed(self, probabilities: np.ndarray, geometry: Geometry) -> np.ndarray:
        """Class probabilities on the prepared grid as post-processing smooths them."""
        return smoothed(probabilities, geometry.spacing_mm, self.postprocessing.smoothing_mm)

    def probabilities(self, image: Image, modality: str) -> tuple[np.ndarray, Geometry]:
        """Class probabilities on the prepared grid, averaged over all forms and smoothed, and the way back."""
        part = self._averaged(image, modality)
        return part.probabilities, part.geometry

    def segment(self, image: Image, modality: str) -> np.ndarray:
        """The label map of an image, on the image's own grid and axes, as class numbers (uint8).

        Raises InputError for a bare array: without an affine nothing says how large its voxels are, nor where the
        patient's left is. `Image(array, affine)` says both; `numpy.eye(4)` means 1 mm, axes to right, front and top.
        """
        require_image(image)
        alone = self.forms == 1
        labels = self.label_map(image, modality) if alone else likeliest([self._averaged(image, modality)])
        return postprocess(labels, self.postprocessing, self.classes)

    def _averaged(self, image: Image, modality: str) -> Part:
        share = 1 / self.forms
        (part,) = gathered((values, geometry, share) for values, geometry in self.members(image, modality))
        return replace(part, probabilities=self.smoothed(part.probabilities, part.geometry))

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

    def knows(self, modality: str) -> bool:
        """Whether the network was trained on this modality, or another one stands for it."""
        return self.norms.knows(modality)

    def check_modality(self, modality: str) -> None:
        """Raise InputError if the run's network doesn't know the modality and no other is to stand for it."""
        self.norms.modality(modality)


def _holds(kind: type[np.integer], values: np.ndarray) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= values.min() and values.max() <= limits.max)
