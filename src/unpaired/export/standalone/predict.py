#!/usr/bin/env python3
# pyright: basic, reportAttributeAccessIssue=false, reportIndexIssue=false
"""Label maps of scans from the networks in this folder: numpy and ONNX Runtime, and nibabel to read and write NIfTI.

    python predict.py scan.nii.gz labels.nii.gz --modality ct      # a file, or a folder of them

Written by `unpaired export`; `model.json` says how a scan is prepared and what a label map's values mean. In Python:

    from predict import Model
    labels = Model("folder").segment(array, affine, "ct")
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pipeline  # pyright: ignore[reportMissingImports] (beside this file)

SUFFIXES = (".nii.gz", ".nii")
MILLIMETERS = (0, 2)
"""Codes of NIfTI's unit: unknown, which everybody reads as millimeters, and millimeters."""


class Model:
    """The networks of a folder, opened when they are first used. `threads` None leaves their number to ONNX Runtime."""

    def __init__(self, folder, threads=None):
        self.folder = Path(folder)
        self.facts = json.loads((self.folder / "model.json").read_text(encoding="utf-8"))
        self.threads = threads
        self.sessions = {}

    def segment(self, array, affine, modality):
        """The label map of a scan (axes as in its file, affine as nibabel's) on its own grid.

        Its values are `model.json`'s `label_values` of the modality. Raises ValueError for what can't be segmented.
        """
        if modality not in self.facts["modalities"]:
            raise ValueError(f"modality {modality!r} is not known; known: {', '.join(self.facts['modalities'])}")
        session = self._session(modality)
        return pipeline.segment(array, affine, modality, self.facts, lambda x: session.run(None, {"images": x})[0])

    def _session(self, modality):
        if modality not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # errors
            options.intra_op_num_threads = self.threads or 0
            file = self.folder / self.facts["modalities"][modality]["graph"]
            known = onnxruntime.get_available_providers()
            providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
            self.sessions[modality] = onnxruntime.InferenceSession(str(file), options, providers=providers)
        return self.sessions[modality]


def read_nifti(path):
    """Array and affine. ValueError or OSError for a damaged file, and where the header doesn't say, in one way, where
    the scan lies."""
    import nibabel

    if path.name.endswith(".gz"):
        with gzip.open(path) as file:
            while file.read(1 << 24):  # to the checksum at the end, before which nibabel stops
                pass
    image = nibabel.load(path)
    header = image.header
    array = np.asanyarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    array = array[..., np.newaxis] if array.ndim == 2 else array
    if not (int(header["sform_code"]) or int(header["qform_code"])):
        raise ValueError("neither sform nor qform has a code: nothing says where the patient's left is")
    if int(header["xyzt_units"]) & 7 not in MILLIMETERS:
        raise ValueError("voxel sizes are not in millimeters")
    if int(header["sform_code"]) and int(header["qform_code"]):
        axes = ["".join(map(str, nibabel.aff2axcodes(affine))) for affine in (image.get_sform(), image.get_qform())]
        if axes[0] != axes[1]:
            raise ValueError(f"its axes run toward {axes[0]} by the sform, toward {axes[1]} by the qform")
    sizes = np.linalg.norm(image.affine[:3, :3], axis=0)
    if not np.allclose(sizes[: len(header.get_zooms())], header.get_zooms()[:3], rtol=1e-3):
        raise ValueError(f"the affine says voxels of {sizes.tolist()} mm, pixdim {header.get_zooms()[:3]}")
    return array.astype(np.float32) if array.dtype.kind == "f" else array, image.affine


def write_nifti(path, labels, affine):
    """The file appears under its name when it is whole."""
    import nibabel

    image = nibabel.Nifti1Image(labels, affine, dtype=labels.dtype)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    nibabel.save(image, unfinished)
    unfinished.replace(path)


def jobs_of(source, target):
    """(image, label map) for a file, or for every NIfTI file of a folder."""
    if source.is_dir():
        files = sorted(file for file in source.iterdir() if file.name.endswith(SUFFIXES) and file.name[0] != ".")
        return [(file, target / file.name) for file in files]
    return [(source, target if target.name.endswith(SUFFIXES) else target / source.name)]


def main(arguments=None):
    """Exit code 0, or 1 if a scan failed, 2 for arguments that don't fit."""
    parser = argparse.ArgumentParser(description="Segment scans with the networks in this folder.")
    parser.add_argument("image", type=Path, help="a NIfTI file, or a folder of them")
    parser.add_argument("out", type=Path, help="the label map's file, or a folder")
    parser.add_argument("--modality", required=True, help="what the scan is; model.json lists what is known")
    parser.add_argument("--threads", type=int, help="of ONNX Runtime; without it as many as there are cores")
    given = parser.parse_args(arguments)
    try:
        model = Model(Path(__file__).parent, given.threads)
    except (OSError, ValueError) as error:
        parser.error(f"model.json beside this script can't be read ({error}); export the run anew")
    if given.modality not in model.facts["modalities"]:
        parser.error(f"modality {given.modality!r} is not known; known: {', '.join(model.facts['modalities'])}")
    jobs = jobs_of(given.image, given.out)
    if not jobs:
        parser.error(f"found no .nii or .nii.gz file in {given.image}")
    failed = 0
    for image, out in jobs:
        if image.resolve() == out.resolve():
            parser.error(f"the label map would overwrite the image {image}")
        try:
            array, affine = read_nifti(image)
            write_nifti(out, model.segment(array, affine, given.modality), affine)
            print(f"{image.name}: {out}")
        except Exception as error:  # noqa: BLE001 (a file may be broken in any way; the others go on)
            failed += 1
            print(f"{image.name}: failed: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
