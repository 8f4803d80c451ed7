"""CMC's tables (Zhou et al., MICCAI 2024): 10 % and 20 % of the labels, and what its parts are worth.

The paper's own numbers are not among the tables that we have as data. Two stages are two rows, of which the first is
the lower bound: a network for each modality, trained on the labels that there are. "CMC-code" is what the released code
trains (`recipes.cross_modality_collaboration_released`). Rows "CMC" are also predicted beside partners that are moved,
turned or short of slices: the paper's analysis of misalignment.
"""

from collections.abc import Mapping
from dataclasses import replace

from unpaired.data.preprocess import Preprocessing
from unpaired.experiments.labels import LabeledShare
from unpaired.experiments.splits import Folds, RandomSplits
from unpaired.experiments.study import Row, Size, Study
from unpaired.methods.anatomy import AnatomyConfig
from unpaired.networks.cmc_released import CMCReleasedNetworkConfig
from unpaired.recipe import Recipe
from unpaired.recipes import cross_modality_collaboration as cmc
from unpaired.recipes import cross_modality_collaboration_released as released
from unpaired.recipes import semi_supervised
from unpaired.recipes.class_specific_affinity import unet_msbn

SHARES = {"10 %": 0.1, "20 %": 0.2}
CMC = "CMC"
MISALIGNED = tuple(f"{CMC}, {share}" for share in SHARES)


def cmc_abdomen(size: Size = "small") -> Study:
    """CMC and its released code in 3D on AMOS (CT and MR), 10 % and 20 % of the labels, one split."""
    if size == "full":
        recipes = {
            "labeled only": cmc.amos_separate(),
            CMC: cmc.amos_together(),
            "CMC-code": released.amos_10(),
            "CMC-code, mended": released.amos_10_mended(),
            "mean teacher": semi_supervised.abdomen_mean_teacher(),
        }
    else:
        recipes = {
            "labeled only": cmc.small_sam_separate(),
            CMC: cmc.small_sam_together(),
            "CMC-code": _small_code(released.amos_10()),
            "CMC-code, mended": _small_code(released.amos_10_mended()),
            "mean teacher": semi_supervised.small_abdomen_mean_teacher(),
        }
    rows = _with_shares(recipes)
    return Study("CMC, abdomen (AMOS)", rows, RandomSplits(1), baseline="labeled only, 10 %", misaligned=MISALIGNED)


def cmc_heart(size: Size = "small") -> Study:
    """CMC on MS-CMRSeg (LGE and bSSFP), 10 % and 20 % of the labels, beside other methods; five folds."""
    if size == "full":
        recipes = {
            "labeled only": cmc.mscmrseg_separate(),
            CMC: cmc.mscmrseg_together(),
            "mean teacher": _on_strong_unet(semi_supervised.small_unet_mean_teacher()),
            "cross pseudo": _on_strong_unet(semi_supervised.small_unet_cross_pseudo()),
            "weak to strong": _on_strong_unet(semi_supervised.small_unet_weak_to_strong()),
        }
    else:
        recipes = {
            "labeled only": cmc.small_unet_separate(),
            CMC: cmc.small_unet_together(),
            "mean teacher": semi_supervised.small_unet_mean_teacher(),
            "cross pseudo": semi_supervised.small_unet_cross_pseudo(),
            "weak to strong": semi_supervised.small_unet_weak_to_strong(),
        }
    rows = _with_shares(recipes)
    return Study("CMC, heart (MS-CMRSeg)", rows, Folds(), baseline="labeled only, 10 %", misaligned=MISALIGNED)


def cmc_ablations(size: Size = "small") -> Study:
    """CMC without each of its parts, and in other readings, on MS-CMRSeg with 10 % of the labels, five folds."""
    whole = cmc.small_unet_cmc() if size == "small" else replace(cmc.mscmrseg_together(), init_from=None)
    method = whole.method
    assert isinstance(method, cmc.CMCConfig)
    recipes: Mapping[str, Recipe] = {
        CMC: whole,
        "without CSC": replace(whole, method=replace(method, csc_weight=0.0)),
        "without CAC": replace(whole, method=replace(method, cac_weight=0.0)),
        "without fusion": replace(whole, network=replace(whole.network, fusion=None)),
        "fused alone": replace(whole, network=replace(whole.network, fusion="alone")),
        "CSC of means (gap)": replace(whole, method=replace(method, csc="gap")),
        "CSC place by place (vec)": replace(whole, method=replace(method, csc="vec")),
        "CAC of shapes": replace(whole, method=replace(method, anatomy=AnatomyConfig(form="shape"))),
        "CAC voxel by voxel": replace(whole, method=replace(method, anatomy=AnatomyConfig(form="voxels"))),
    }
    rows = tuple(Row(name, recipe, LabeledShare(0.1)) for name, recipe in recipes.items())
    return Study("CMC, its parts (MS-CMRSeg, 10 %)", rows, Folds(), baseline=CMC)


def _with_shares(recipes: Mapping[str, Recipe]) -> tuple[Row, ...]:
    """Every recipe with each share of the labels, CMC from its first stage; the first one with all labels too."""
    rows: list[Row] = []
    for text, share in SHARES.items():
        for name, recipe in recipes.items():
            first = f"labeled only, {text}" if name == CMC else None
            rows.append(Row(f"{name}, {text}", recipe, LabeledShare(share), begins_with=first))
    return (*rows, Row("labeled only, all", next(iter(recipes.values()))))


def _small_code(recipe: Recipe) -> Recipe:
    """CMC-code on the patches, voxels and steps of `small_sam_separate`, an eighth as wide."""
    small = cmc.small_sam_separate()
    assert isinstance(recipe.network, CMCReleasedNetworkConfig)
    return replace(
        recipe,
        network=replace(recipe.network, width=4),
        preprocessing=Preprocessing(plane="axial", spacing_mm=(3.0, 3.0, 3.0)),
        optimization=replace(recipe.optimization, learning_rate=1e-3),
        patch_size=small.patch_size,
        batch_size=small.batch_size,
        unlabeled_batch_size=small.batch_size,
        steps=small.steps,
        validate_every=small.validate_every,
        save_every=small.save_every,
    )


def _on_strong_unet(recipe: Recipe) -> Recipe:
    """A semi-supervised row at the size of `class_specific_affinity/unet_msbn`, with instance norm."""
    strong = unet_msbn()
    return replace(
        strong,
        network=replace(strong.network, norm="instance"),
        method=recipe.method,
        unlabeled_batch_size=strong.batch_size,
        paper_row=None,
    )
