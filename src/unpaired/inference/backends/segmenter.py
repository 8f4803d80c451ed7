"""A run's network computed by another program than torch, as long as that one says the same."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from unpaired.errors import InputError
from unpaired.inference.backends.engines import Backend, Engine, open_engine, require_backend
from unpaired.inference.backends.kept import graph_place, keep_graph, kept_graph
from unpaired.inference.backends.onnx_graph import onnx_graph
from unpaired.inference.devices import has_bfloat16
from unpaired.inference.engine.plans import Precision
from unpaired.methods.method import Method
from unpaired.networks.one_modality import OneModality, one_modality, trace
from unpaired.shapes import Images, Logits

TOLERANCE: dict[Precision, float] = {"float32": 2e-3, "bf16": 0.1}
"""How far logits may lie from torch's in float32, in units of the largest of those (at least 1)."""
LABELS: dict[Precision, float] = {"float32": 1e-3, "bf16": 0.05}
"""The share of voxels whose likeliest class may be another: ties, and in bfloat16, whose numbers have eight bits, what
is nearly one. Of trained networks it is less by far; a graph that computes something else has more."""


class BackendSegmenter:
    """`Method.predict` by a backend. Its graph of each modality is made at the first window, and compared there.

    Where backend and torch differ in logits or labels, or where the network can't be taken there, torch goes on, and
    `report` gets a line that says so. In `precision` "bf16" they may differ by what bfloat16 leaves out; windows whose
    logits aren't finite are computed by torch, and a processor without bfloat16 goes on in float32. Graphs are kept for
    the next time (`kept`). Raises InputError at once if the backend's packages are missing, or if it has no bfloat16.
    """

    def __init__(
        self,
        method: Method,
        backend: Backend,
        patch_size: Sequence[int],
        report: Callable[[str], None],
        precision: Precision = "float32",
    ) -> None:
        require_backend(backend, precision)
        if precision == "bf16" and not has_bfloat16("cpu"):
            report("precision bf16: this processor has no bfloat16, float32 goes on")
            precision = "float32"
        self.method = method
        self.backend: Backend = backend
        self.precision: Precision = precision
        self._patch_size = tuple(patch_size)
        self._report = report
        self._engines: dict[str, Engine | None] = {}
        self._mended = False

    def used(self, modality: str) -> Backend:
        """What computes images of a modality: the backend, or torch before the first window and where that won."""
        return self.backend if self._engines.get(modality) is not None else "torch"

    def chosen_precision(self, modality: str) -> Precision:
        """What images of a modality are computed in: float32 before the first window, and where torch won."""
        return self.precision if self._engines.get(modality) is not None else "float32"

    def predict(self, images: Images, modality: str, partners: Mapping[str, Images] | None = None) -> Logits:
        """Logits for images of one modality, an image at a time. With `partners` it is torch that computes."""
        if partners:
            return self.method.predict(images, modality, partners)
        if modality not in self._engines:
            self._engines[modality] = self._opened(images[:1], modality)
        engine = self._engines[modality]
        if engine is None:
            return self.method.predict(images, modality)
        logits = np.concatenate([engine(image[np.newaxis]) for image in images.numpy()])
        if self.precision == "bf16" and not np.isfinite(logits).all():
            if not self._mended:
                self._report("precision bf16: some windows had no finite logits, they are computed in float32")
            self._mended = True
            return self.method.predict(images, modality)
        return torch.from_numpy(logits)

    def _opened(self, images: Images, modality: str) -> Engine | None:
        """The engine of a modality if it says of these images what torch says."""
        network = self.method.network
        if network.mixes_images:
            return self._refused(modality, "what the network says of a window depends on the windows beside it")
        expected = self.method.predict(images, modality).numpy()
        alone = one_modality(network, modality)
        reason = "no graph"
        try:
            place = graph_place(alone, self._patch_size, network.channels)
            for model, is_new in self._graphs(alone, place):
                engine, reason = self._tried(model, images.numpy(), expected)
                if engine is not None:
                    if is_new:
                        keep_graph(place, model)
                    return engine
        except Exception as error:  # noqa: BLE001 (other programs': whatever stops them, torch goes on)
            reason = _one_line(error)
        return self._refused(modality, reason)

    def _graphs(self, network: OneModality, place: Path) -> Iterator[tuple[bytes, bool]]:
        """The graph that was kept, then, for whom it doesn't do, a new one; and whether it is new."""
        kept = kept_graph(place)
        if kept is not None:
            yield kept, False
        program = trace(network, self._patch_size, self.method.network.channels)
        yield onnx_graph(program).SerializeToString(), True

    def _tried(self, model: bytes, images: np.ndarray, expected: np.ndarray) -> tuple[Engine | None, str]:
        """The engine of a graph if it says what is expected; else why not."""
        try:
            engine = open_engine(self.backend, model, self.precision, keep=True)
            difference = disagreement(expected, engine(images), self.precision)
        except Exception as error:  # noqa: BLE001 (another program's, see above)
            return None, _one_line(error)
        return (engine, "") if difference is None else (None, difference)

    def _refused(self, modality: str, reason: str) -> None:
        self._report(f"{self.backend} can't be used for {modality}, torch goes on: {reason}")


def _one_line(error: Exception) -> str:
    reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return " ".join(reason.split())[:200]


def disagreement(expected: np.ndarray, said: np.ndarray, precision: Precision = "float32") -> str | None:
    """In what logits (batch, class, *spatial) differ from those expected, beyond the rounding of a precision.

    None if they don't.
    """
    if said.shape != expected.shape:
        return f"its logits have the shape {said.shape}, not {expected.shape}"
    apart = float(np.abs(said - expected).max())
    allowed = TOLERANCE[precision] * max(1.0, float(np.abs(expected).max()))
    if not apart <= allowed:
        return f"its logits are up to {apart:.2g} from torch's, allowed are {allowed:.2g}"
    share = float((said.argmax(1) != expected.argmax(1)).mean())
    return f"{share:.1%} of its labels are not torch's" if share > LABELS[precision] else None
