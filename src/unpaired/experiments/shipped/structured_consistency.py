"""SSC's tables (Yang et al., MIDL 2023): Tables 1 and 5 and 4 on MM-WHS, Tables 2, 6 and 7 on the abdomen.

The paper tests on four of twenty patients of each modality, once on the heart and by five random splits in the abdomen,
whose MR patients it draws; here the heart has five folds, and each split of the abdomen nine MR patients. Small forms
have a third of the networks' width and no ImageNet weights. At full size the paper starts from those: they are a file,
named by a function of yours that returns `ssc_tables15(size, "x.pth")`.
"""

from unpaired.experiments.labels import FewPatients
from unpaired.experiments.shipped.small_hearts import small_mmwhs
from unpaired.experiments.splits import DrawsBeside, Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.recipe import Recipe
from unpaired.recipes import structured_consistency as ssc
from unpaired.recipes.structured_consistency_mscmrseg import small_swin_v2

PIXELS = 160
"""Of a slice in the small forms: windows of five fit at all four stages."""


def ssc_tables15(size: Size = "small", pretrained: str | None = None) -> Study:
    """SSC's Tables 1 and 5: what is shared, with and without consistency, on MM-WHS (CT and MR), five folds."""
    v2 = _heart(size, pretrained)
    recipes = (
        *(ssc.backbone(v2), ssc.baseline(v2), ssc.v1(v2), v2, ssc.v3(v2)),
        *map(ssc.with_consistency, (ssc.v1(v2), v2, ssc.v3(v2))),
    )
    title = "SSC, Tables 1 and 5 (MM-WHS)"
    return Study(title, _rows(*recipes), Folds(), baseline="Baseline", papers=("ssc-cardiac",))


def ssc_table4(size: Size = "small", pretrained: str | None = None) -> Study:
    """SSC's Table 4: one or three annotated patients of CT or MR on MM-WHS, five folds."""
    v2 = _heart(size, pretrained)
    whole = ssc.with_consistency(ssc.v3(v2))
    few = [
        Row(f"{patients} {modality.upper()}", whole, FewPatients(modality, patients))
        for modality in ("mr", "ct")
        for patients in (1, 3)
    ]
    rows = (*_rows(ssc.baseline(v2), whole), *few)
    return Study("SSC, Table 4 (MM-WHS, few patients)", rows, Folds(), baseline="Baseline", papers=("ssc-few-shot",))


def ssc_tables267(size: Size = "small") -> Study:
    """SSC's Tables 2, 6 and 7: what is shared and which consistency, on the abdomen, all CT and five draws of MR."""
    v2 = ssc.abdomen_v2() if size == "full" else ssc.small_abdomen_v2()
    v1, v3 = ssc.v1(v2), ssc.v3(v2)
    recipes = (
        *(ssc.backbone(v2), ssc.baseline(v2), v1, v2, v3),
        *map(ssc.with_consistency, (v1, v2)),
        *(ssc.with_consistency(v3, "modality"), ssc.with_consistency(v3, "image"), ssc.with_consistency(v3)),
    )
    title = "SSC, Tables 2, 6 and 7 (abdomen)"
    return Study(title, _rows(*recipes), DrawsBeside("ct"), baseline="Baseline", papers=("ssc-abdomen",))


def _heart(size: Size, pretrained: str | None) -> Recipe:
    """Row V2 on MM-WHS."""
    if size == "small":
        return small_mmwhs(small_swin_v2(), PIXELS)
    return ssc.with_network(ssc.mmwhs_v2(), pretrained=pretrained) if pretrained else ssc.mmwhs_v2()


def _rows(*recipes: Recipe) -> tuple[Row, ...]:
    return tuple(Row(str(recipe.paper_row), recipe) for recipe in recipes)
