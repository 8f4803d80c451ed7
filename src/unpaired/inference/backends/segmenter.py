"""A run's network computed by another program than torch, as long as that one says the same."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from unpaired.errors import InputError
from unpaired.inference.backends.engines import Backend, Engine, open_engine, require_backend
from unpaired.inference.backends.onnx_graph import onnx_graph
from unpaired.methods.method import Method
from unpaired.networks.one_modality import one_modality, trace
from unpaired.shapes import Images, Logits

TOLERANCE = 2e-3
"""How far logits may lie from torch's, in units of the largest of torch's (at least 1)."""
LABELS = 1e-3
"""The share of voxels whose likeliest class may be another: ties."""


class BackendSegmenter:
    """`Method.predict` by a backend. Its graph of each modality is made at the first window, and compared there.

    Where backend and torch differ in logits or labels, or where the network can't be taken there, torch goes on, and
    `report` gets a line that says so. Raises InputError at once if the backend's packages are missing.
    """

    def __init__(
        self, method: Method, backend: Backend, patch_size: Sequence[int], report: Callable[[str], None]
    ) -> None:
        require_backend(backend)
        self.method = method
        self.backend: Backend = backend
        self._patch_size = tuple(patch_size)
        self._report = report
        self._engines: dict[str, Engine | None] = {}

    def used(self, modality: str) -> Backend:
        """What computes images of a modality: the backend, or torch before the first window and where that won."""
        return self.backend if self._engines.get(modality) is not None else "torch"

    def predict(self, images: Images, modality: str, partners: Mapping[str, Images] | None = None) -> Logits:
        """Logits for images of one modality, an image at a time. With `partners` it is torch that computes."""
        if partners:
            return self.method.predict(images, modality, partners)
        if modality not in self._engines:
            self._engines[modality] = self._opened(images[:1], modality)
        engine = self._engines[modality]
        if engine is None:
            return self.method.predict(images, modality)
        return torch.from_numpy(np.concatenate([engine(image[np.newaxis]) for image in images.numpy()]))

    def _opened(self, images: Images, modality: str) -> Engine | None:
        """The engine of a modality if it says of these images what torch says."""
        network = self.method.network
        if network.mixes_images:
            return self._refused(modality, "what the network says of a window depends on the windows beside it")
        try:
            program = trace(one_modality(network, modality), self._patch_size, network.channels)
            engine = open_engine(self.backend, onnx_graph(program).SerializeToString())
            said = engine(images.numpy())
        except Exception as error:  # noqa: BLE001 (another program's: whatever stops it, torch goes on)
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            return self._refused(modality, " ".join(reason.split())[:200])
        difference = disagreement(self.method.predict(images, modality).numpy(), said)
        return engine if difference is None else self._refused(modality, difference)

    def _refused(self, modality: str, reason: str) -> None:
        self._report(f"{self.backend} can't be used for {modality}, torch goes on: {reason}")


def disagreement(expected: np.ndarray, said: np.ndarray) -> str | None:
    """In what logits (batch, class, *spatial) differ from those expected, beyond rounding; None if they don't."""
    if said.shape != expected.shape:
        return f"its logits have the shape {said.shape}, not {expected.shape}"
    apart = float(np.abs(said - expected).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not apart <= allowed:
        return f"its logits are up to {apart:.2g} from torch's, allowed are {allowed:.2g}"
    share = float((said.argmax(1) != expected.argmax(1)).mean())
    return f"{share:.1%} of its labels are not torch's" if share > LABELS else None
