"""`predict`: scans to label maps, as the command does it, from Python. Imports no torch: the worker does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unpaired.choices import require_choice, several
from unpaired.data.dataset import Dataset
from unpaired.data.postprocess import Postprocessing, asked_postprocessing
from unpaired.errors import InputError
from unpaired.inference.engine.plans import EngineName, Precision
from unpaired.inference.jobs import Event, Outcome
from unpaired.inference.request import (
    Backend,
    DicomWishes,
    How,
    ObjectKind,
    Place,
    RayWishes,
    Request,
    SegKind,
    Weights,
    request_of,
)
from unpaired.inference.shards import Shard
from unpaired.inference.watch import predict_watched

if TYPE_CHECKING:
    from unpaired.runs.run import Run


def predict(
    run: "Run | str | Path",
    images: Dataset | str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    modality: str | None = None,
    split: str | None = None,
    weights: Weights = "best",
    device: str = "auto",
    backend: Backend = "torch",
    postprocessing: Postprocessing | str | None = None,
    smoothing_mm: float | None = None,
    background_log_odds: float | None = None,
    mirror: bool = False,
    mirror_anyway: bool = False,
    modality_anyway: bool = False,
    norms_of: str | None = None,
    adaptive_norms: bool = False,
    precision: Precision = "float32",
    engine: EngineName = "auto",
    overlap: float | None = None,
    turned: float | Sequence[float] = (),
    also: "Sequence[Run | str | Path]" = (),
    probabilities: bool = False,
    overwrite: bool = False,
    shard: Shard | str | None = None,
    series: str | Sequence[str] = (),
    modality_from: str | None = None,
    objects: ObjectKind | Sequence[ObjectKind] = ("seg",),
    dicom_seg: SegKind = "binary",
    deidentify: bool = False,
    trust: Sequence[str | Path] = (),
    worker: bool = True,
    on: Place = "here",
    actors: int | None = None,
    tell: Callable[[Event], None] = lambda event: None,
) -> Outcome:
    """Segment an image, a folder of images, or a dataset's cases, into the folder (for one image also a file) `out`.

    A folder of DICOM files, nested or not, is a study: its series that are of the run's modalities are segmented
    (`tell` gets the reason for each), and `objects` are written beside each label map: "seg" (DICOM SEG of the kind
    `dicom_seg`), "rtstruct", "sc" (secondary captures with overlays), "pdf" (a report); without the patient's identity
    with `deidentify`. `series` chooses by UID, its end or series number; `modality` says what all are; `modality_from`
    is a regular expression that finds the modality in a series' description (`dicom.choice.choose`). `images` may also
    be several paths, or a text file (.txt) with one on each line: all DICOM, or none.

    Without `modality`, images that no dataset lists are of the only modality of the run that their values and voxel
    sizes allow (`inference.modality_guess`); where these leave doubt, InputError asks.

    `split` "test" uses the side stored in the run. Of a folder of folds "validation" is out-of-fold prediction, each
    case by the folds that were not trained with it, and "test" the cases kept out of all of them. `also` are further
    runs whose probabilities are averaged with the first one's; a model file, or a folder of folds (fold0, fold1, ...),
    stands for all its runs. `postprocessing` may be what `--largest-component` takes ("all", "none", "LV,myo");
    `smoothing_mm` and `background_log_odds` are put into it, or alone take the place of what was found. See
    `Predictor` for weights, device, backend, precision, engine, overlap, mirror, turned, the two "anyway"s, norms and
    trust, `plan` for modality and the files' names, `predict_files` for probabilities, overwrite and what is left as it
    is.

    `shard` "3/20" does the third of twenty parts of equal work (`inference.shards`): start it once for each number, on
    as many machines as there are, with the same folder `out`.

    `on` "ray" has the cases done by Ray's actors (`inference.on_ray`): `actors` processes on this machine, or on the
    cluster that RAY_ADDRESS names, one per GPU or per four cores if no number is given.

    The networks live in a process of their own that may die: if the kernel kills it for want of memory, or a library
    crashes, that case alone is lost, after a second try; the process is started again for the next one. Without
    `worker` everything is done in this process, as a debugger, a profiler, or a network that was defined in a notebook
    wants it. `tell` gets what happens as it happens: an event whose `lines()` are for a person to read.

    Raises InputError for what fits no case: a run, a device, a modality, nothing to segment. What is wrong with a case
    stands in the outcome's `failures`.
    """
    how = How(
        weights,
        device,
        backend,
        asked_postprocessing(postprocessing, smoothing_mm, background_log_odds),
        mirror,
        mirror_anyway,
        modality_anyway,
        norms_of,
        adaptive_norms,
        precision,
        engine,
        overlap,
        tuple(several(turned)),
    )
    runs = run, *several(also)
    dicom = DicomWishes(tuple(several(series)), modality_from, tuple(several(objects)), dicom_seg, deidentify)
    require_choice(on, Place, "on")
    if actors is not None and on != "ray":
        raise InputError("the number of actors is for --on ray; leave --actors out, or predict on Ray")
    ray = RayWishes(actors) if on == "ray" else None
    request = request_of(
        runs,
        images,
        out,
        modality=modality,
        split=split,
        how=how,
        probabilities=probabilities,
        overwrite=overwrite,
        trust=trust,
        shard=shard,
        dicom=dicom,
        ray=ray,
    )
    return carry_out(request, tell, worker)


def carry_out(request: Request, tell: Callable[[Event], None], worker: bool = True) -> Outcome:
    """Carry out a request as `predict` says."""
    outcome = Outcome()
    if worker:
        predict_watched(request, outcome.telling(tell))
    else:
        from unpaired.inference.requested import predict_requested  # imports torch

        predict_requested(request, outcome.telling(tell))
    return outcome
