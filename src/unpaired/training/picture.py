"""The live picture of a run, `progress.png`: curves and a validation case of each modality, drawn while it trains."""

import time

import numpy as np

from unpaired.data.prepared import PreparedCase
from unpaired.failures import attempt
from unpaired.files import write_bytes
from unpaired.runs.run import Run

AT_LEAST_SECONDS = 30.0
"""A run is drawn when it has trained so long, and again not before."""
SHARE = 0.02
"""At most so much of a training's time goes into drawing it."""
UNKNOWN = -1
"""Voxels that may be one of several classes are neither drawn nor counted."""


class TrainingPicture:
    """Draws `progress.png` into a run's folder after a validation, as often as `SHARE` allows.

    Of each modality the first labeled validation case is shown, on the network's grid.
    """

    def __init__(self, run: Run, enabled: bool) -> None:
        self.run, self.enabled = run, enabled
        self._due = time.monotonic() + AT_LEAST_SECONDS
        self._shown: dict[str, tuple[PreparedCase, np.ndarray]] = {}

    def look(self, case: PreparedCase, labels: np.ndarray) -> None:
        """Take note of a validation case and of its predicted class numbers (depth, height, width)."""
        if self.enabled and time.monotonic() >= self._due:
            self._shown.setdefault(case.modality, (case, labels))

    def draw(self) -> str | None:
        """Draw what was looked at, if it is time. Returns why it could not be drawn: no reason to end a training."""
        if not self._shown:
            return None
        began = time.monotonic()
        _, failure = attempt(self._draw)
        ended = time.monotonic()
        self._shown, self._due = {}, ended + max(AT_LEAST_SECONDS, (ended - began) / SHARE)
        return failure

    def _draw(self) -> None:
        from unpaired.figures.case_view import CaseView
        from unpaired.figures.training_picture import draw_training

        classes, sets = tuple(self.run.dataset.classes), self.run.dataset.label_sets()
        single = np.array([members[0] if len(members) == 1 else UNKNOWN for members in sets])
        views = []
        for case, labels in self._shown.values():
            reference = case.label_map()
            drawn = None if reference is None else single[np.asarray(reference)]
            views.append(CaseView(case.id, case.modality, classes, case.volume(), drawn, labels, case.spacing_mm))
        write_bytes(self.run.picture, draw_training(self.run.rows("log"), self.run.rows("validation"), views))
