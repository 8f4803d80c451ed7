"""Which modality an image is of, where nobody says it: what its values and voxels leave possible of those that a run
knows.

Rules are those of `inference.modality_check`: they know CT from all else for certain, and no kind of MR from another.
So only what a single modality allows is decided; where two do, or none does, a person is asked.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from unpaired.data.image import Image
from unpaired.data.images import read_image
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.inference.jobs import Job
from unpaired.inference.modality_check import ModalityCheck
from unpaired.runs.run import Run

SHOWN = 3


def with_modalities(run: Run, jobs: Sequence[Job], tell: Callable[[str], None]) -> list[Job]:
    """The jobs, each with the one modality of the run that its image can be of; `tell` gets a line that says so.

    An image that can't be read stays as it is: predicting it says why. A run that knows one modality takes all for it,
    and its check refuses what contradicts it. Raises InputError that names the images which may be of several
    modalities, or of none.
    """
    if len(run.modalities) == 1:
        return list(jobs)
    check = ModalityCheck(run)
    decided: list[Job] = []
    open_cases: list[str] = []
    for job in jobs:
        image, _ = attempt(partial(read_image, job.image))
        fitting = [job.modality] if image is None else _fitting(check, image)
        if len(fitting) == 1:
            decided.append(replace(job, modality=fitting[0]))
        else:
            open_cases.append(f"{job.image} may be {' or '.join(fitting) or 'none of them'}")
    if open_cases:
        more = f" and {len(open_cases) - SHOWN} more" if len(open_cases) > SHOWN else ""
        raise InputError(
            f"which modality? By values and voxel sizes {', '.join(open_cases[:SHOWN])}{more}; name it with --modality "
            f"({', '.join(run.modalities)}), images of each by themselves"
        )
    for modality, count in Counter(job.modality for job in decided).items():
        what = decided[0].image if len(decided) == 1 else f"{count} of {len(decided)} images"
        tell(f"{what}: {modality}, the only modality of the run that values and voxel sizes allow (--modality says it)")
    return decided


def _fitting(check: ModalityCheck, image: Image) -> list[str]:
    return [name for name in check.modalities if check.doubt(image, name) is None and not check.remarks(image, name)]
