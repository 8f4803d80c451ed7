"""CSA's tables (Chen et al., MICCAI 2020): Table 1 on MS-CMRSeg, Tables 2-3 on MM-WHS, and the paper's open choices.

The paper tests on a random fifth of the patients, which it doesn't name; here every patient is tested, in five folds,
and a tenth of the others chooses the weights. Small forms have the strong CNN of `class_specific_affinity/small_unet_`,
or, for the open choices, which are about the paper's own network, a quarter of its width.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from unpaired.experiments.shipped.small_hearts import small_mmwhs
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.networks.fcn import FCNConfig
from unpaired.recipe import Recipe
from unpaired.recipes import class_specific_affinity as csa
from unpaired.recipes import class_specific_affinity_ablations as ablations

ROWS: Mapping[Size, Mapping[str, Callable[[], Recipe]]] = {
    "full": {
        "Single": csa.mscmrseg_single,
        "UMMKD": csa.mscmrseg_ummkd,
        "Joint": csa.mscmrseg_joint,
        "MSBN": csa.mscmrseg_msbn,
        "Affinity": csa.mscmrseg_affinity,
        "CSA": csa.mscmrseg_csa,
    },
    "small": {
        "Single": csa.small_unet_single,
        "UMMKD": csa.small_unet_ummkd,
        "Joint": csa.small_unet_joint,
        "MSBN": csa.small_unet_msbn,
        "Affinity": csa.small_unet_affinity,
        "CSA": csa.small_unet_csa,
    },
}
ON_MMWHS: Mapping[str, Callable[[], Recipe]] = {
    "Single": csa.mmwhs_single,
    "UMMKD": csa.mmwhs_ummkd,
    "Joint": csa.mmwhs_joint,
    "MSBN": csa.mmwhs_msbn,
    "Affinity": csa.mmwhs_affinity,
    "CSA": csa.mmwhs_csa,
}
OPEN_CHOICES = (
    ablations.s_c_pixels,
    ablations.eq4_literal,
    ablations.eq4_frobenius,
    ablations.pooled_by_image,
    ablations.area_masks,
    ablations.center_masks,
    ablations.cross_fitted,
    ablations.two_near_pairs,
    ablations.far_layers_4_8,
    ablations.far_layers_4_9,
    ablations.foreground_only,
    ablations.absent_as_zero,
    ablations.lambda_05,
    ablations.drop_075,
    ablations.three_slices,
    ablations.unclipped,
    ablations.ummkd_absent_skipped,
)
ON_MMWHS_TOO = (
    csa.mmwhs_csa_literal,
    ablations.mmwhs_lambda_01,
    ablations.mmwhs_one_slice,
    ablations.mmwhs_stack_normalized,
)


def csa_table1(size: Size = "small") -> Study:
    """CSA's Table 1: six settings on MS-CMRSeg (LGE and bSSFP), five folds."""
    rows = tuple(Row(name, recipe()) for name, recipe in ROWS[size].items())
    return Study("CSA, Table 1 (MS-CMRSeg)", rows, Folds(), baseline="MSBN", papers=("csa-table-1",))


def csa_tables23(size: Size = "small") -> Study:
    """CSA's Tables 2 and 3: six settings on MM-WHS (CT and MR), five folds."""
    full = {name: recipe() for name, recipe in ON_MMWHS.items()}
    small = {name: small_mmwhs(ROWS["small"][name]()) for name in full}
    rows = tuple(Row(name, recipe) for name, recipe in (full if size == "full" else small).items())
    return Study("CSA, Tables 2 and 3 (MM-WHS)", rows, Folds(), baseline="MSBN", papers=("csa-tables-2-3",))


def csa_ablations(size: Size = "small") -> Study:
    """CSA's open choices on MS-CMRSeg: its row of Table 1 with one thing read in another way, five folds."""
    baseline = (csa.mscmrseg_msbn, csa.mscmrseg_ummkd, csa.mscmrseg_csa)
    recipes = [function() for function in (*baseline, *OPEN_CHOICES)]
    rows = tuple(Row(str(recipe.paper_row), recipe if size == "full" else _small_fcn(recipe)) for recipe in recipes)
    return Study("CSA, open choices (MS-CMRSeg)", rows, Folds(), baseline="CSA", papers=("csa-table-1",))


def csa_ablations_mmwhs(size: Size = "small") -> Study:
    """CSA's open choices on MM-WHS: equations as printed, lambda, how many slices and how normalized; five folds."""
    recipes = [function() for function in (csa.mmwhs_msbn, csa.mmwhs_csa, *ON_MMWHS_TOO)]
    rows = tuple(
        Row(str(recipe.paper_row), recipe if size == "full" else _small_mmwhs_fcn(recipe)) for recipe in recipes
    )
    return Study("CSA, open choices (MM-WHS)", rows, Folds(), baseline="CSA", papers=("csa-tables-2-3",))


def _small_fcn(recipe: Recipe) -> Recipe:
    """A row of the paper's network at the size of `class_specific_affinity/small_csa`, its own choice as it was."""
    small = csa.small_csa()
    network = small.network
    assert isinstance(network, FCNConfig)
    assert isinstance(recipe.network, FCNConfig)
    if recipe.network.dropout != FCNConfig().dropout:
        network = replace(network, dropout=recipe.network.dropout)
    return replace(
        small,
        network=replace(network, zscore_input=recipe.network.zscore_input),
        method=recipe.method,
        context_slices=recipe.context_slices,
        paper_row=recipe.paper_row,
    )


def _small_mmwhs_fcn(recipe: Recipe) -> Recipe:
    """The same on MM-WHS, its own slices and their normalization as they were."""
    small = small_mmwhs(_small_fcn(recipe))
    preprocessing = replace(small.preprocessing, normalization=recipe.preprocessing.normalization)
    return replace(small, preprocessing=preprocessing, context_slices=recipe.context_slices)
