"""A new modality or scanner joins a finished run (Karani, Chaitanya, Baumgartner, Konukoglu, "A lifelong learning
approach to brain MR segmentation across scanners and protocols", MICCAI 2018).

    unpaired train new_modality/small_unet_before data/mscmrseg.json runs/before --set 'modalities=["bssfp"]'
    unpaired few-shot data/mscmrseg.json data/four.json lge 4 --split data/split.json
    unpaired train new_modality/small_unet_joins data/mscmrseg.json runs/joined --split data/four.json

Kernels are shared, and a norm belongs to a modality. A new one gets norms of its own, trained on its few labeled scans
(four in the paper); all that the run had stays frozen, so what it knew it still does, bit by bit, and the scans that it
learned from are not needed. The paper has batch norm, as here: its statistics are the new modality's own.
"""

from dataclasses import replace

from unpaired.recipe import Optimization, Recipe
from unpaired.recipes.class_specific_affinity import small_unet_msbn

BEFORE = "runs/before"


def small_unet_before() -> Recipe:
    """What is trained first, small U-Net with a batch norm per modality; `modalities` names those that there are."""
    return replace(small_unet_msbn(), paper_row=None)


def small_unet_joins() -> Recipe:
    """A modality more: its norms alone are trained, and begin as bSSFP's (`begin_as`)."""
    return replace(
        small_unet_before(),
        init_from=BEFORE,
        begin_as="bssfp",
        trained="new_modalities",
        optimization=Optimization(learning_rate=2e-3, schedule="cosine"),
        steps=200,
        validate_every=100,
    )
