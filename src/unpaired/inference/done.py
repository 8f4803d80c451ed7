"""Whether a label map that is there is the one that would be made now: its record says of what and how it was made."""

from unpaired.data.prediction_record import difference_from_record, read_record
from unpaired.errors import InputError
from unpaired.inference.dicom_jobs import source_of
from unpaired.inference.dicom_objects import objects_are_there, objects_difference
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Job
from unpaired.inference.preparation import PREPARATION, preparation_difference
from unpaired.inference.record import probabilities_path, settings_of, values_of


def is_done(job: Job, ensemble: Ensemble, probabilities: bool) -> bool:
    """Whether a job's files are there. InputError if its label map is there but made of other things."""
    if not job.output.exists():
        return False
    difference = _difference(job, ensemble)
    if difference is not None:
        raise InputError(f"{job.output} {difference}; --overwrite redoes it, or name another folder")
    if (different := objects_difference(job)) is not None:
        raise InputError(f"{different}; --overwrite redoes it, or name another folder")
    return objects_are_there(job) and (not probabilities or probabilities_path(job.output).is_file())


def _difference(job: Job, ensemble: Ensemble) -> str | None:
    """What sets the label map that is there apart from the one that would be made now; None if nothing does."""
    record = read_record(job.output)
    if record is None:
        return "is there without a record of how it was made"
    if record.image is None:
        return "was made by a version that did not note of which image"
    if (changed := difference_from_record(record, job.output)) is not None:
        return f"was corrected, cut short or replaced since it was predicted ({changed})"
    source = source_of(job)
    if record.image.sha256 != source.sha256:
        return f"was made of another image ({record.image.file} as it was then), not of {source.file}"
    made = {**record.settings, "modality": record.modality, "label values": dict(record.values)}
    wanted = {
        "modality": job.modality,
        **settings_of(ensemble, job.modality),
        "label values": values_of(ensemble, job.modality),
    }
    for name, value in wanted.items():
        if name == PREPARATION:
            if (other := preparation_difference(made.get(name), ensemble.predictors, job.modality)) is not None:
                return f"was made in another way ({name} {other})"
        elif made.get(name) != value:
            return f"was made in another way ({name} {made.get(name)} there, {value} here)"
    return None
