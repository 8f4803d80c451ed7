"""Reading NRRD and MetaImage, file to array, against SimpleITK: raw and gzip, int16. Goal: not slower than SimpleITK.

The same file for both, written by SimpleITK; voxels are compared before anything is timed. Warm page cache, runs in
turn, processor time of one thread. `read_image` also checks what it reads (lengths, checksums, geometry).

    python benchmarks/formats.py [--small] [--repeats 7] [--json numbers.json]
"""

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

from side_by_side import in_turns, print_versions
from unpaired.data.images import read_image

KINDS = {"mha raw": ("a.mha", False), "mha gzip": ("a.mha", True), "nrrd raw": ("a.nrrd", False)}
KINDS |= {"nrrd gzip": ("a.nrrd", True)}


def ct(shape: tuple[int, int, int]) -> np.ndarray:
    """Values as of a CT (slice, row, column): air around a body of noise, which packs to about half."""
    rng = np.random.default_rng(0)
    volume = rng.normal(40, 25, shape).astype(np.int16)
    rows, columns = np.ogrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    volume[:, rows**2 + columns**2 > 0.8] = -1000
    return volume


def by_simpleitk(path: Path) -> np.ndarray:
    """SimpleITK's array, a copy, as who changes it needs one."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def by_unpaired(path: Path) -> np.ndarray:
    """The same axes in the same order."""
    return read_image(path).array.T


def measured(path: Path, volume: np.ndarray, compressed: bool, repeats: int) -> dict[str, float | bool]:
    """Medians in ms of both, after a comparison of their voxels."""
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((0.8, 0.8, 2.5))
    sitk.WriteImage(image, str(path), useCompression=compressed)
    equal = np.array_equal(by_unpaired(path), volume) and np.array_equal(by_simpleitk(path), volume)
    seconds = in_turns({"unpaired": partial(by_unpaired, path), "SimpleITK": partial(by_simpleitk, path)}, repeats)
    ours, theirs = (float(np.median(seconds[name])) for name in ("unpaired", "SimpleITK"))
    return {"unpaired_ms": ours * 1e3, "simpleitk_ms": theirs * 1e3, "times_as_fast": theirs / ours, "equal": equal}


def main() -> None:
    """Parse the command line, write a file of each kind, time both readers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="32 x 64 x 64, for a smoke run: its ratios mean little")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print_versions("SimpleITK", "isal", "numpy")
    volume = ct((32, 64, 64) if arguments.small else (200, 320, 320))
    numbers: dict[str, dict[str, float | bool]] = {}
    print(f"{' x '.join(map(str, volume.shape))} int16, medians of {arguments.repeats} in ms")
    with tempfile.TemporaryDirectory() as folder:
        for kind, (name, compressed) in KINDS.items():
            row = numbers[kind] = measured(Path(folder) / name, volume, compressed, arguments.repeats)
            print(
                f"{kind:10} unpaired {row['unpaired_ms']:8.1f}  SimpleITK {row['simpleitk_ms']:8.1f}  "
                f"{row['times_as_fast']:5.2f} times as fast, {'equal' if row['equal'] else 'OTHER VOXELS'}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
