"""What a run's scans held when its training began: it goes on with the same ones alone, and knows its modalities."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from unpaired.data.fingerprint import CaseFingerprint
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json
from unpaired.runs.folder import RunFolder

SCHEMA = 1
ADVICE = "restore the file, or delete it: training that goes on writes it anew"


@dataclass(frozen=True)
class _Document:
    cases: dict[str, CaseFingerprint]


def write_fingerprint(run: RunFolder, cases: Mapping[str, CaseFingerprint]) -> None:
    """Write down, by id, what the cases are that a run is trained and validated with."""
    write_json(run.fingerprint_file, fingerprint_document(cases))


def fingerprint_document(cases: Mapping[str, CaseFingerprint]) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "schema": SCHEMA,
        "sha256": data_hash(cases),
        "cases": {case_id: asdict(case) for case_id, case in cases.items()},
    }


def read_fingerprint(run: RunFolder) -> dict[str, CaseFingerprint]:
    """{case id: what it was}; empty for a run of a version that didn't note it. Raises InputError if it is damaged."""
    if not run.fingerprint_file.is_file():
        return {}
    return read(run.fingerprint_file, _Document, ADVICE, schema=SCHEMA).cases


def data_hash(cases: Mapping[str, CaseFingerprint]) -> str:
    """One SHA-256 (hexadecimal) for the files of all cases, by id: equal for two runs on the same data."""
    lines = [f"{case_id} {case.image_sha256} {case.label_sha256}\n" for case_id, case in sorted(cases.items())]
    return sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def require_same_files(run: RunFolder, hashes: Mapping[str, tuple[str, str | None]]) -> None:
    """Raise InputError, naming the first, if an image or label map isn't what it was when the run began.

    `hashes` {case id: (of the image, of the label map)} are of the files now. What the run didn't note is not judged.
    """
    known = read_fingerprint(run)
    for case_id, now in hashes.items():
        then = known.get(case_id)
        for what, before, here in zip(
            ("image", "label"), (then.image_sha256, then.label_sha256) if then else (), now, strict=False
        ):
            if before != here:
                raise InputError(
                    f"{run.folder} is a run of other data (the {what} of {case_id} has changed since it began: SHA-256 "
                    f"{before!s:.12} there, {here!s:.12} here): restore the file to go on, or train into a new folder"
                )


def note_new_cases(run: RunFolder, cases: Mapping[str, CaseFingerprint]) -> None:
    """Write down the cases that the run's fingerprint lacks: all of a new run and of one by an older version."""
    known = read_fingerprint(run)
    if set(cases) - set(known):
        write_fingerprint(run, {**cases, **known})
