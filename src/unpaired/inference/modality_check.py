"""Whether a scan that is to be segmented can be of the modality it was given as: the run's own scans say what it is."""

from unpaired.data.checks.modality import KnownModality, doubt, unusual_spacing
from unpaired.data.image import Image, ImageError
from unpaired.data.scan_values import scan_values
from unpaired.runs.fingerprint import read_fingerprint
from unpaired.runs.run import Run


class ModalityCheck:
    """What a run knows of its modalities: the raw values of the scans that it was trained and validated with.

    Runs of older versions noted none; there names and clip windows decide, where CT is concerned. Raises InputError if
    the run's fingerprint is damaged.
    """

    def __init__(self, run: Run) -> None:
        cases = read_fingerprint(run).values()
        self.modalities = {
            name: KnownModality(name, options, [case.values for case in cases if case.modality == name])
            for name, options in run.dataset.modalities.items()
            if name in run.modalities
        }

    def doubt(self, image: Image, modality: str) -> str | None:
        """Why an image is hardly of this modality, as half a sentence; None if it may well be."""
        return doubt(scan_values(image), modality, self.modalities)

    def require(self, image: Image, modality: str) -> None:
        """Raise ImageError for an image that contradicts everything that is known of the modality it was given as."""
        why = self.doubt(image, modality)
        if why is not None:
            raise ImageError(
                f"the scan was given as {modality}, but {why}; give the modality that it is (the run knows "
                f"{', '.join(self.modalities)}), repair its values, or insist with --modality-anyway "
                "(modality_anyway=True in Python)",
                "modality",
            )

    def remarks(self, image: Image, modality: str) -> tuple[str, ...]:
        """What is unusual about an image without being a reason to refuse it, and what somebody insists on."""
        why = self.doubt(image, modality)
        insisted = None if why is None else f"segmented as {modality} although {why}"
        spacing = unusual_spacing(scan_values(image), self.modalities[modality])
        return tuple(remark for remark in (insisted, spacing) if remark is not None)
