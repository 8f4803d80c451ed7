"""Whose norms and preparation segment a scan: its modality's, or those of another that stands for one never trained."""

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from torch import nn

from unpaired.data.dataset import Modality
from unpaired.errors import InputError, known
from unpaired.networks.norm_statistics import norms_with_statistics, taking_statistics
from unpaired.runs.run import Run


@dataclass(frozen=True)
class NormChoice:
    """What a run does with scans of a modality that it was not trained on, and where batch norms' statistics are from.

    `of` is the modality that stands for an unknown one (None: there is none, such scans are refused). With `adaptive`
    batch norms take the statistics of each scan itself in place of the training's. Raises InputError for an `of` that
    the run doesn't know.
    """

    run: Run
    of: str | None = None
    adaptive: bool = False

    def __post_init__(self) -> None:
        if self.of is not None and self.of not in self.run.modalities:
            raise InputError(
                f"norms of {self.of!r}: run {self.run.called} has no such modality; {known(list(self.run.modalities))}"
            )

    def knows(self, given: str) -> bool:
        """Whether the run was trained on a modality, or another one stands for it."""
        return given in self.run.modalities or self.of is not None

    def modality(self, given: str) -> str:
        """The modality whose norms segment a scan of the modality `given`.

        Raises InputError for one that the run was not trained on if none is to stand for it.
        """
        if given in self.run.modalities:
            return given
        if self.of is not None:
            return self.of
        raise InputError(
            f"run {self.run.called} has no modality {given!r}; {known(list(self.run.modalities))}. If the scan is of "
            "one of these under another name, say that; any other kind of scan needs a run trained with it, or can be "
            f"tried with the norms of the one that it looks most like, such as --norms-of {self.run.modalities[0]} "
            "(batch norms can take each scan's own statistics besides: --norms adaptive)"
        )

    def options(self, given: str) -> Modality:
        """How scans of a modality are clipped and normalized; those of one that the dataset lacks as what stands for
        it."""
        modality = self.modality(given)
        return self.run.dataset.modalities.get(given, self.run.dataset.modalities[modality])

    def values(self, given: str) -> list[int]:
        """For each class the value that label maps of a modality carry, with the same rule."""
        dataset = self.run.dataset
        return dataset.source_values(given if given in dataset.modalities else self.modality(given))

    def record(self, given: str) -> str | None:
        """What a record says of the norms; None where they are the modality's own, as training left them."""
        modality = self.modality(given)
        if self.adaptive:
            return f"{modality}, statistics of each scan"
        return None if modality == given else modality

    def require_statistics(self, network: nn.Module, backend: str) -> None:
        """Raise InputError for adaptive norms where a network has none that could adapt, or a backend can't follow."""
        if self.adaptive and backend != "torch":
            raise InputError(
                f"adaptive norms change the network with every scan, which backend {backend} can't follow; "
                "leave --norms or --backend out"
            )
        if self.adaptive and not norms_with_statistics(network):
            raise InputError(
                f"adaptive norms: the network of {self.run.called} has no batch norm with running statistics, its "
                "norms take those of each scan already; leave --norms out"
            )

    @contextmanager
    def adapting(self, network: nn.Module) -> Generator[bool]:
        """Whether the network is to see the scan in this block, to take its statistics."""
        with taking_statistics(network) if self.adaptive else nullcontext():
            yield self.adaptive
