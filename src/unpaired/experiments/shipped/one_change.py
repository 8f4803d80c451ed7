"""What raises Dice at equal minutes? MSBN, and MSBN with one thing changed at a time.

Meant to be decided on folds whose test patients stand in no final table: `unpaired study one_change DATA OUT --splits
fold1 --minutes 4`, and what helped once more on fold2. docs/results/core-hour.md has what came out on MS-CMRSeg.
"""

from dataclasses import replace

from unpaired.data.randomization import Randomization
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe
from unpaired.recipes import class_specific_affinity as csa


def one_change(size: Size = "small") -> Study:
    """MSBN with one change of loss, augmentation, normalization, context, dimensions, norm, heads, width or pixels."""
    base = replace(csa.small_unet_msbn() if size == "small" else csa.unet_msbn(), precision="bf16-mixed")
    base = replace(base, memory_format="channels_last")
    network, augmentation = base.network, base.augmentation
    assert isinstance(network, UNetConfig)
    width, patch, spacing = (20, (144, 144), 1.0) if size == "small" else (48, (224, 224), 0.75)
    fine = replace(base.preprocessing, spacing_mm=(None, spacing, spacing))
    rows = (
        Row("base", base),
        Row("no class weights", replace(base, method=replace(base.method, class_weighting="none"))),
        Row("elastic", replace(base, augmentation=replace(augmentation, elastic=0.7, elastic_strain=0.9))),
        *(
            Row(f"turned by {d:g}", replace(base, augmentation=replace(augmentation, rotation_degrees=d)))
            for d in (30.0, 60.0)
        ),
        Row("volume norm", replace(base, preprocessing=replace(base.preprocessing, normalization="zscore"))),
        Row("3 slices", replace(base, context_slices=3)),
        Row("thick 3D", _of_volumes(base, network)),
        Row("instance norm", replace(base, network=replace(network, norm="instance"))),
        Row("deep supervision", replace(base, network=replace(network, deep_supervision=True))),
        Row("wider", replace(base, network=replace(network, width=width))),
        Row("mirrored", replace(base, augmentation=replace(augmentation, mirror=("height", "width")))),
        Row("finer pixels", replace(base, patch_size=patch, preprocessing=fine)),
        Row("bias field", replace(base, augmentation=replace(augmentation, bias_field=0.3))),
        Row("random convolutions", replace(base, randomization=Randomization(share=0.3))),
    )
    return Study("One change at a time", rows, Folds(), minutes={"small": 4.0, "full": 240.0}[size], baseline="base")


def _of_volumes(base: Recipe, network: UNetConfig) -> Recipe:
    """The recipe on eight slices at once, twice as many in a step; pooled in plane until voxels are cubes of about a
    slice's thickness, with kernels of one slice until then."""
    in_plane, everywhere = (1, 2, 2), (2, 2, 2)
    strides = (in_plane, in_plane, in_plane, everywhere, in_plane, in_plane)[: len(network.blocks) - 1]
    return replace(
        base,
        network=replace(network, strides=strides),
        augmentation=replace(base.augmentation, in_plane_only=True),
        patch_size=(8, *base.patch_size),
        batch_size=max(base.batch_size // 4, 1),
    )
