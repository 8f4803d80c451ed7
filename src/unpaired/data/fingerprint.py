"""What a prepared case was made of: the hashes of its files, and how the values of the raw scan lie."""

from dataclasses import dataclass

from unpaired.data.scan_values import ScanValues


@dataclass(frozen=True)
class CaseFingerprint:
    """One case as it was when it was prepared. The hashes are `content_hash`es; an unlabeled case has no label's."""

    modality: str
    image_sha256: str
    label_sha256: str | None
    values: ScanValues
