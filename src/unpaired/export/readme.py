"""What an exported folder tells a person who opens it."""

_SHARED = """The networks of the run {run!r}, written by {made_by} for programs that lack it.

model.json   how a scan is prepared (orientation, spacing, crop, values), how windows are laid over it, what the
             classes and the label values are; weights_sha256 says which weights these are
"""

_PLACES = """A graph takes one image (float32; axes as in model.json "input") and returns logits. What leads from a scan
to its images and from logits back to a label map is in model.json, and written out in numpy by the ONNX export.
"""

README = {
    "onnx": _SHARED
    + """*.onnx       a network for each modality: images in, logits out
predict.py   segments NIfTI files; needs numpy, onnxruntime and nibabel, neither torch nor unpaired
pipeline.py, components.py, probabilities.py, turns.py   what it calls, numpy alone

    pip install numpy onnxruntime nibabel
    python predict.py scan.nii.gz labels.nii.gz --modality {first}

The scripts are code: look at them before you run them, as at any script that you were sent.
""",
    "openvino": _SHARED
    + """*.xml, *.bin   a network for each modality, for OpenVINO (openvino.Core().compile_model("{first}.xml", "CPU"))

"""
    + _PLACES,
    "monai-bundle": _SHARED.replace("model.json ", "configs/model.json ")
    + """configs/     metadata.json and inference.json, which MONAI reads; it runs the words in them that begin with $
models/      a program of torch.export for each modality
scripts/     what inference.json names: preparation, windows and restoration in numpy, as in the ONNX export

    python -m monai.bundle run --config_file configs/inference.json --bundle_root . --modality {first} \\
        --dataset_dir images

MONAI's command line needs the package fire besides (pip install monai fire). Label maps go to eval/. Configs
and scripts are code, and a .pt2 file may hold some: use bundles of people you trust.
""",
    "torch": _SHARED
    + """*.pt2        a program of torch.export for each modality (torch.export.load("{first}.pt2").module())

torch.load and torch.export.load may run code that a file holds. These files hold none; open files of others only if you
trust who made them.

"""
    + _PLACES,
}
