"""What it takes long to make for a backend, kept in the user's cache folder: ONNX graphs, and what is compiled of them.

A graph holds a network's weights, so the folder is as private as the run. What was not used for the longest time is
deleted when there is too much.
"""

import os
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import torch

from unpaired.errors import UnwritableError
from unpaired.files import user_cache, write_bytes
from unpaired.networks.one_modality import OneModality

KEPT_BYTES = 4 * 10**9
"""How much lies in each folder at most."""


def graph_place(network: OneModality, size: tuple[int, ...], channels: int) -> Path:
    """Where the graph of this network, with these weights, for windows of this size is kept.

    The name says all that a network shows of itself. Should two be called alike all the same, the comparison of the
    first window tells them apart.
    """
    digest = sha256()
    packages = [(name, version(name)) for name in ("unpaired", "torch", "onnx", "onnxscript")]
    for part in (repr(network), network.modality, size, channels, packages):
        digest.update(f"{part}\n".encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return user_cache("graphs") / f"{digest.hexdigest()[:32]}.onnx"


def kept_graph(place: Path) -> bytes | None:
    """The graph that was kept there; None if there is none that can be read."""
    try:
        os.utime(place)
        return place.read_bytes()
    except OSError:
        return None


def keep_graph(place: Path, model: bytes) -> None:
    """For the next time; where the folder can't be written the next time makes it anew."""
    with suppress(UnwritableError):
        write_bytes(place, model)
        keep_newest(place.parent)


def compiled_folder() -> Path | None:
    """Where OpenVINO keeps what it compiles; None where the folder can't be written."""
    folder = user_cache("openvino")
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        keep_newest(folder)
    return folder if os.access(folder, os.W_OK) else None


def keep_newest(folder: Path, most: int = KEPT_BYTES) -> None:
    """Delete the files of a folder that were used last before the newest ones, which take up to `most` bytes."""
    files: list[tuple[float, int, Path]] = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process makes room too
            state = path.stat()
            files.append((state.st_mtime, state.st_size, path))
    total = 0
    for _, size, path in sorted(files, reverse=True):
        total += size
        if total > most:
            path.unlink(missing_ok=True)
