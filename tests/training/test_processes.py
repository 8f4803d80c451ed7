"""What only the first of several processes does, and how the others hear of its refusal."""

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from unpaired.errors import InputError
from unpaired.training import processes
from unpaired.training.processes import build_fabric, by_the_first, emulated, is_first_process


def member(rank: int, refused_by_the_first: bool = False) -> Fabric:
    """Process `rank` of two; what is broadcast is what process 0 has to say."""
    said_by_the_first = (lambda said: said) if rank == 0 else (lambda said: refused_by_the_first)
    return Mock(spec=Fabric, world_size=2, is_global_zero=rank == 0, broadcast=said_by_the_first)


def refuse() -> None:
    raise InputError("no room")


def test_one_process_does_it_and_hands_on_its_result() -> None:
    fabric = build_fabric("cpu", 1, 1, "32-true")
    assert by_the_first(fabric, lambda: 7) == 7
    with pytest.raises(InputError, match="no room"):
        by_the_first(fabric, refuse)
    assert is_first_process()


def test_processes_wait_for_the_first_while_it_prepares_thousands_of_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []
    monkeypatch.setattr(processes, "DDPStrategy", lambda **options: begun.append(options) or DDPStrategy(**options))
    build_fabric("cpu", 2, 1, "32-true")
    assert begun[0]["timeout"] >= timedelta(hours=12)


def test_only_the_first_of_two_does_it() -> None:
    done: list[int] = []
    assert by_the_first(member(0), lambda: done.append(0) or 7) == 7
    assert by_the_first(member(1), lambda: done.append(1) or 7) is None
    assert done == [0]


def test_a_refusal_ends_every_process_and_only_the_first_says_why() -> None:
    with pytest.raises(InputError, match="no room"):
        by_the_first(member(0), refuse)
    with pytest.raises(SystemExit) as ended:
        by_the_first(member(1, refused_by_the_first=True), refuse)
    assert ended.value.code == 2


@pytest.mark.parametrize(("device", "precision", "words"), [("gpu", "32-true", "expected auto"), ("cpu", "7", "at 7")])
def test_what_cannot_be_had_is_named(device: str, precision: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_fabric(device, 1, 1, precision)


def test_a_precision_that_a_device_emulates_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "has_bfloat16", lambda device: device == "cuda")
    said = emulated("bf16-mixed", "cpu")
    assert said is not None
    assert "32-true" in said
    assert [emulated("bf16-mixed", "cuda"), emulated("32-true", "cpu"), emulated("bf16-mixed", "mps")] == [None] * 3
