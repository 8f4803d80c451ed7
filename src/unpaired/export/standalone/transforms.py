# pyright: basic, reportAttributeAccessIssue=false, reportIndexIssue=false, reportOperatorIssue=false, reportPrivateImportUsage=false
"""What the bundle's configs name: a scan prepared, segmented by windows, and its label map restored.

Written by `unpaired export`. The numbers are those of `pipeline.py` beside this file.
"""

import json

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import MapTransform

from . import pipeline

GEOMETRY = "_geometry"
"""Beside a scan's key: the way back, as JSON, which MONAI's loaders leave as it is."""


class Network(torch.nn.Module):
    """The program of `torch.export` in a file, as a module that may be told to evaluate: it does nothing else."""

    def __init__(self, path):
        super().__init__()
        self._program = [torch.export.load(path).module()]  # in a list: such a module refuses `eval`

    def forward(self, images):
        return self._program[0](images)


class PrepareScand(MapTransform):
    """Scans (1, x, y, z) with their affines to prepared volumes (1, depth, height, width)."""

    def __init__(self, keys, model, modality):
        super().__init__(keys)
        self.settings, self.facts = model["preprocessing"], model["modalities"][modality]

    def __call__(self, data):
        data = dict(data)
        for key in self.keys:
            affine = np.asarray(data[key].affine, dtype=np.float64)
            name = data[key].meta.get("filename_or_obj", "scan")
            volume, geometry = pipeline.prepare(np.asarray(data[key][0]), affine, self.settings, self.facts)
            spacing = pipeline.prepared_spacing(affine, geometry)
            data[key] = MetaTensor(torch.from_numpy(volume)[None], torch.diag(torch.tensor([*spacing, 1.0])))
            data[key + GEOMETRY] = json.dumps([geometry, affine.tolist(), str(name)])
        return data


class WindowInferer(Inferer):
    """Prepared volumes (batch, 1, depth, height, width) to class probabilities (batch, class, depth, height, width)."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def __call__(self, inputs, network, *args, **kwargs):
        def compute(images):
            with torch.no_grad():
                return network(torch.from_numpy(images)).numpy()

        spacings = np.diagonal(np.asarray(inputs.affine).reshape(-1, 4, 4), axis1=1, axis2=2)[:, :3]
        volumes = [np.asarray(volume[0].cpu(), dtype=np.float32) for volume in inputs]
        slabs = [
            list(pipeline.averaged_slabs(volume, self.model, compute, spacing))
            for volume, spacing in zip(volumes, spacings, strict=True)
        ]
        return torch.from_numpy(np.stack([np.concatenate(parts, axis=1) for parts in slabs]))


class RestoreLabelsd(MapTransform):
    """Class probabilities (class, depth, height, width) to label maps (1, x, y, z) on the scan's own grid."""

    def __init__(self, keys, source, model, modality):
        super().__init__(keys)
        self.source, self.model, self.facts = source, model, model["modalities"][modality]

    def __call__(self, data):
        data = dict(data)
        geometry, affine, name = json.loads(data[self.source + GEOMETRY])
        for key in self.keys:
            slabs = [np.asarray(data[key])]
            slabs = pipeline.smoothed(slabs, affine, geometry, self.model["smoothing_mm"])
            labels = pipeline.restore(slabs, geometry)
            values = pipeline.label_values(labels, self.model["largest_component"], self.facts["label_values"])
            affine = torch.tensor(affine, dtype=torch.float64)
            data[key] = MetaTensor(torch.from_numpy(values)[None], affine, {"filename_or_obj": name})
        return data


def run(dataset, network, inferer, postprocessing):
    """Segment every scan of a dataset, one after the other."""
    for scan in dataset:
        postprocessing({**scan, "pred": inferer(scan["image"][None], network)[0]})
