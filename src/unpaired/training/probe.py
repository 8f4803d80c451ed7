"""What one training step of a recipe costs on this machine: seconds and memory, measured on random images."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from unpaired.data.batch import Batch
from unpaired.data.free_memory import free_memory
from unpaired.inference.engine.small_maps import right_in_bfloat16
from unpaired.inference.pages import give_back_pages, keep_pages
from unpaired.networks.norm_kernels import use_group_kernels
from unpaired.recipe import Recipe, build_method
from unpaired.training.layout import laid_out, lay_out
from unpaired.training.optimization import build_optimizer

STEPS = 3
"""How many steps are timed, after one that isn't (none: that one is); the fastest counts, as other work slows it."""
Clock = Literal["wall", "processor"]
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
LOADING = 1.15
"""Reading and augmenting take about so much on top, where no worker does it beside."""
WITHOUT_KNOWN_MEMORY_GB = 8.0
"""What is taken to be free where the system doesn't say (Windows)."""


@dataclass(frozen=True)
class StepCost:
    """Seconds of a training step, and the gigabytes that it took beyond what the process had before."""

    seconds: float
    gigabytes: float
    state_gb: float = 0.0
    """Weights, their gradients and what the optimizer remembers: the same for any batch."""
    kept_gb: float = 0.0
    """What the forward pass keeps for the backward pass: in proportion to the images of a step."""


def time_step(
    recipe: Recipe, modalities: Sequence[str], classes: int, device: str = "cpu", clock: Clock = "wall"
) -> StepCost:
    """Take a few real steps of a recipe: forward and backward as often as it accumulates, optimizer, on random images
    and label maps.

    In the recipe's precision and memory format ("auto" is timed as contiguous). `classes` counts background. torch's
    global random state is left as it was. Where the loss ends as NaN the cost is infinite. `clock`: "wall", or on a
    processor "processor", its seconds for each thread, in which other programs have no part.
    """
    place = torch.device(device)
    threads = torch.get_num_threads() if place.type == "cpu" and clock == "processor" else None
    if place.type == "cpu":
        keep_pages()
    before = _forget_peak(place)
    method = build_method(recipe, modalities, classes).to(place).train()
    if _real(recipe) == torch.float64:
        method.double()
    memory_format = "channels_last" if recipe.memory_format == "channels_last" else "contiguous"
    lay_out(method, memory_format)
    if place.type == "cpu":
        use_group_kernels(method)
    optimizer = build_optimizer(method, recipe.optimization)
    batches = laid_out(_random_batches(recipe, modalities, classes, place), memory_format)
    reduced = AUTOCAST.get(recipe.precision)
    less = nullcontext() if reduced is None else torch.autocast(place.type, reduced)
    seconds, loss, kept = list[float](), torch.zeros(()), _Kept(method)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        for _ in range(STEPS + 1):
            start = _now(threads)
            optimizer.zero_grad()
            for _ in range(recipe.accumulate):
                with right_in_bfloat16(place.type, reduced == torch.bfloat16), less, kept.counted():
                    loss = method(batches, 0.5).loss
                loss.backward()
            optimizer.step()
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            seconds.append(_now(threads) - start)
    if not torch.isfinite(loss):  # what gives no answer is no way to compute it
        return StepCost(float("inf"), 0.0)
    peak = max(_peak(place) - before, 0.0)
    return StepCost(min(seconds[1:] or seconds) * LOADING, peak, _state_gb(method, optimizer), kept.bytes / 1e9)


class _Kept:
    """Counts the bytes that autograd keeps of a forward pass, those of parameters aside."""

    def __init__(self, method: nn.Module) -> None:
        self.own = {parameter.untyped_storage().data_ptr() for parameter in method.parameters()}
        self.storages: dict[int, int] = {}

    @contextmanager
    def counted(self) -> Generator[None]:
        """Within, what is kept is counted anew."""
        self.storages.clear()
        with torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor):
            yield

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.own:
            self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        """Of the last forward pass."""
        return sum(self.storages.values())


def _state_gb(method: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Weights and buffers, gradients, and the optimizer's tensors, in gigabytes."""
    weights = [*method.parameters(), *method.buffers()]
    gradients = [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
    remembered = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in (*weights, *gradients, *remembered)) / 1e9


def _now(threads: int | None) -> float:
    """Seconds since some moment: of the processor for each of so many threads, else of the clock."""
    return time.perf_counter() if threads is None else time.process_time() / threads


def _real(recipe: Recipe) -> torch.dtype:
    """The type of weights and images."""
    return torch.float64 if recipe.precision == "64-true" else torch.float32


def _random_batches(recipe: Recipe, modalities: Sequence[str], classes: int, place: torch.device) -> dict[str, Batch]:
    generator = torch.Generator().manual_seed(0)
    shape = (recipe.batch_size, recipe.channels, *recipe.patch_size)
    real = _real(recipe)
    return {
        modality: Batch(
            torch.randn(shape, generator=generator).to(place, real),
            torch.randint(classes, (shape[0], *recipe.patch_size), generator=generator).to(place),
            torch.eye(classes, dtype=torch.bool, device=place),
            torch.randn((recipe.unlabeled_batch_size, *shape[1:]), generator=generator).to(place, real)
            if recipe.unlabeled_batch_size
            else None,
        )
        for modality in modalities
    }


def free_memory_gb(device: str) -> float:
    """What a device has free, in gigabytes: of a GPU its own memory, of a processor the machine's."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(torch.device(device))[0] / 1e9
    free = free_memory()
    return WITHOUT_KNOWN_MEMORY_GB if free is None else free / 1e9


def _forget_peak(device: torch.device) -> float:
    """Let the peak of `_peak` begin anew; the gigabytes that are in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 1e9
    give_back_pages()  # or a step would seem to take nothing after a larger one, whose pages it uses again
    with suppress(OSError):  # Linux alone has it; elsewhere the peak of the whole process has to do
        Path("/proc/self/clear_refs").write_text("5")
    return _peak(device)


def _peak(device: torch.device) -> float:
    """The most gigabytes in use since `_forget_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # in bytes on macOS
