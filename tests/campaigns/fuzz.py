"""Hostile files for every reader and every document that a command reads, from a seed.

    PYTHONPATH=tests python -m campaigns.fuzz --seed 0 --count 2000

Images (`count` of them) go to the readers: damage that a checksum shows must be refused, and what is read of another
changed file must be what nibabel, SimpleITK, Pillow or pydicom read there. Documents (a quarter of `count`) go to the
commands that read them. Right is one line and exit code 1 or 2, or an accepted document. Wrong are tracebacks, crashes
of the process, other exit codes, gigabytes of memory, much time, and voxels that nobody else reads.
"""

import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaigns import hostile_text
from campaigns.commands import Ended, run, warm_up
from campaigns.tally import Tally, run_alone
from campaigns.workspace import CACHE, CPU, DATA, OTHER, RECIPE, RUN, STEPS, copy, others, write_study
from reader_fuzz import Sample, mutated, outcome, samples

SECONDS_EACH = 20.0
"""Of a processor."""


def campaign(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """Images first, then documents."""
    images(seed, count, folder, tally)
    documents(seed, count // 4, folder, tally)


def images(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """Every format in turn."""
    every = samples()
    for number in range(count):
        sample = every[number % len(every)]
        content, guarded = mutated(sample, np.random.default_rng((seed, number)))
        what = f"image {sample.name}"
        done = in_a_fork(
            lambda sample=sample, content=content, guarded=guarded: _read(sample, content, guarded, folder)
        )
        if isinstance(done, str) and done in ("refused", "same", "changed as others read it", "read here alone"):
            tally.add(what, done)
        else:
            tally.fault(what, f"{done}, seed {seed}, number {number}")


def in_a_fork(work: Callable[[], str]) -> str:
    """What `work` returns, or how its process ended without an answer."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is the finding)
            answer = f"{type(error).__name__}: {error}"
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(process, 0)
    return pickle.loads(said) if said else f"the process ended with {os.waitstatus_to_exitcode(status)}"


def _read(sample: Sample, content: bytes, guarded: bool, folder: Path) -> str:
    ended = outcome(sample, content, guarded, folder)
    if ended != "changed":
        return ended
    image = sample.read(folder / sample.name)
    other = in_a_fork(lambda: _by_others(folder / sample.name, image.array, image.affine, bool(image.notes)))
    return other if other.startswith(("changed", "read here")) else f"others read something else: {other}"


def _by_others(path: Path, array: np.ndarray, affine: np.ndarray, noted: bool) -> str:
    """Whether another library reads the same values and, where the header left nothing open, the same place."""
    try:
        values, place = OTHERS[path.suffix](path)
    except Exception as error:  # noqa: BLE001 (libraries raise what they like)
        return f"read here alone ({type(error).__name__})"[:15]
    if values.reshape(values.shape + (1,) * (3 - values.ndim)).shape != array.shape:
        return f"shape {values.shape} there, {array.shape} here"
    if not np.allclose(values.reshape(array.shape), array, rtol=1e-5):
        return "other values"
    if place is not None and not noted and not np.allclose(place, affine, atol=1e-3, rtol=1e-4):
        return f"place {place.tolist()} there, {affine.tolist()} here"
    return "changed as others read it"


def _nibabel(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    import nibabel as nib

    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def _itk(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    from campaigns.orientation import read_by_itk

    return read_by_itk(path)


def _pillow(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    from PIL import Image as Picture

    return np.asarray(Picture.open(path)).T, None


def _pydicom(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The slice and the two sound ones above it, by pydicom's own decoders."""
    import pydicom

    folder = path.parent / f"{path.name}_series"
    slices = [pydicom.dcmread(file, force=True) for file in sorted(folder.glob("*.dcm"))]
    slices.sort(key=lambda each: float(each.ImagePositionPatient[2]))
    values = [each.pixel_array.T * float(each.RescaleSlope) + float(each.RescaleIntercept) for each in slices]
    return np.stack(values, axis=-1), None


OTHERS = {
    **dict.fromkeys((".nii", ".gz"), _nibabel),
    **dict.fromkeys((".nrrd", ".mha"), _itk),
    ".png": _pillow,
    ".dcm": _pydicom,
}


@dataclass(frozen=True)
class Document:
    """A file of the study and a command that reads it; OUT stands for a fresh place."""

    path: str
    command: tuple[str, ...]


SCORING = ("evaluate", f"{RUN}/predictions", RUN, "--out", "OUT")
REPORT = ("report", RUN, "--out", "OUT.html", "--viewer-mb", "0")
PREDICTING = ("predict", RUN, DATA, "OUT", "--split", "test", *CPU)
DOCUMENTS = (
    Document(f"{DATA}/dataset.json", ("verify", DATA, "--workers", "1")),
    Document(f"{DATA}/dataset.json", ("split", DATA, "OUT.json")),
    Document(f"{DATA}/dataset.json", ("labeled-fraction", DATA, "OUT.json", "--fraction", "0.5")),
    Document(f"{DATA}/dataset.json", ("prepare", RECIPE, DATA, "OUT", "--workers", "1")),
    Document(f"{DATA}/dataset.json", ("join", DATA, "more.json", "--out", "OUT.json")),
    Document("cases.csv", ("import", "table", "cases.csv", "OUT.json")),
    Document("cases.csv", ("verify", "cases.csv", "--workers", "1")),
    Document("split.json", ("few-shot", DATA, "OUT.json", "ct", "1", "--split", "split.json")),
    Document(RECIPE, ("recipes", RECIPE)),
    Document(RECIPE, ("prepare", RECIPE, DATA, "OUT", "--workers", "1")),
    Document(f"{RUN}/recipe.json", REPORT),
    Document(f"{RUN}/recipe.json", ("recipes", RUN)),
    Document(f"{RUN}/dataset.json", REPORT),
    Document(f"{RUN}/dataset.json", SCORING),
    Document(f"{RUN}/split.json", SCORING),
    Document(f"{RUN}/versions.json", REPORT),
    Document(f"{RUN}/log.csv", REPORT),
    Document(f"{RUN}/validation.csv", REPORT),
    Document(f"{RUN}/predictions/ct003.prediction.json", SCORING),
    Document(f"{RUN}/predictions/ct003.prediction.json", (*PREDICTING[:3], f"{RUN}/predictions", *PREDICTING[4:])),
    Document(f"{RUN}/predictions/ct003.nii.gz", SCORING),
    Document(f"{RUN}/predictions/probabilities/ct003.nii.gz", SCORING),
    Document(f"{RUN}/evaluation/scores.json", REPORT),
    Document(f"{RUN}/evaluation/scores.json", ("compare", RUN, OTHER, "--out", "OUT", "--no-report")),
    Document(f"{RUN}/evaluation/calibration.json", REPORT),
    Document(f"{RUN}/resume.pt", ("train", RECIPE, DATA, RUN, "--cache", CACHE, "--workers", "0", *CPU)),
    Document(f"{RUN}/weights_best.safetensors", PREDICTING),
    Document(f"{RUN}/recipe.json", PREDICTING),
    Document(f"{DATA}/ct/ct003.nii.gz", ("verify", DATA, "--workers", "1")),
    Document(f"{DATA}/ct/ct003.nii.gz", PREDICTING),
    Document(f"{DATA}/ct/ct003_label.nii.gz", SCORING),
)


def documents(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """Every document and command in turn."""
    quick = [document for document in DOCUMENTS if document.command[0] not in ("report", "predict")]
    try_documents([*quick, *DOCUMENTS, *quick], study, seed, count, folder, tally)


def try_documents(
    order: Sequence[Document], study: Callable[[Path, Path], None], seed: int, count: int, folder: Path, tally: Tally
) -> None:
    """Damage one document after another of the study that `study(place, said)` makes, and give it to its command."""
    warm_up()
    template, place = folder / "template", folder / "study"
    study(template, folder / "said")
    for document in dict.fromkeys(order):
        ended = _given(document, (template / document.path).read_bytes(), template, place, folder / "said")
        if ended.code:
            tally.fault(f"{document.path} -> {document.command[0]}", f"undamaged: {ended.last_line}")
    for number in range(count):
        document = order[number % len(order)]
        what = f"{document.path} -> {document.command[0]}"
        source = (template / document.path).read_bytes()
        content = hostile_text.mutated(source, Path(document.path).suffix, np.random.default_rng((seed, number)))
        ended = _given(document, content, template, place, folder / "said")
        problem = ended.problem() or _careless(ended)
        if problem is None:
            tally.add(what, "accepted" if ended.code == 0 else "refused or listed")
        else:
            tally.fault(what, f"{problem}, seed {seed}, number {number}")


def _given(document: Document, content: bytes, template: Path, place: Path, said: Path) -> Ended:
    """How the command of a document ends in a copy of the study in which the document has this content."""
    copy(template, place)
    (place / document.path).write_bytes(content)
    return run([part.replace("OUT", "made/here") for part in document.command], place, said)


def _careless(ended: Ended) -> str | None:
    if ended.seconds > SECONDS_EACH:
        return f"took {ended.seconds:.0f} s"
    if ended.code == 2 and not ended.error.strip():
        return "exit code 2 without a word"
    return None


def study(place: Path, said: Path) -> None:
    """A study with every document: two runs, predicted and scored, a table, a split file, a second manifest."""
    write_study(place)
    wanted = [STEPS[name].arguments for name in ("prepare", "train", "predict", "evaluate")]
    for arguments in (*wanted, *others(), ("split", DATA, "split.json")):
        ended = run(arguments, place, said)
        if ended.code:
            raise AssertionError(f"{arguments}: {ended.error}")
    document = json.loads((place / DATA / "dataset.json").read_text(encoding="utf-8"))
    rows = [
        ",".join(
            [case["patient"], case["modality"], f"{DATA}/{case['image']}", f"{DATA}/{case['label']}", case["label_map"]]
        )
        for case in document["cases"]
    ]
    table = "\n".join(["patient,modality,image,label,label_map", *rows]) + "\n"
    (place / "cases.csv").write_text(table, encoding="utf-8")
    beside = {"classes": document["classes"], "label_maps": document["label_maps"]}
    (place / "cases.json").write_text(json.dumps(beside), encoding="utf-8")
    for case in document["cases"]:
        case |= {"id": f"more_{case['id']}", "patient": f"more_{case['patient']}"}
        case |= {part: f"{DATA}/{case[part]}" for part in ("image", "label")}
    (place / "more.json").write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_alone(campaign, 2000, __doc__))
