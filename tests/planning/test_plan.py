"""Plans for fingerprints like those of public datasets: what is decided, from which fact, and always the same."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from public_fingerprints import (
    ABDOMEN_CT_AND_THICK_MR,
    ALL,
    HEART_SHORT_AXIS,
    SINGLE_SLICES,
    WHOLE_HEART,
    fingerprint,
    modality,
)
from unpaired.data.augment import Augmentation
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.networks.unet import UNetConfig
from unpaired.phantom.acquisition import CLASSES, LABEL_VALUES
from unpaired.planning.budget import Device
from unpaired.planning.case_facts import CaseFacts
from unpaired.planning.fingerprint import ModalityFacts
from unpaired.planning.labels import SIMULATED, SIMULATED_NETWORK, simulated_advice
from unpaired.planning.plan import Dimensions, plan_recipe
from unpaired.planning.topology import multiples
from unpaired.recipe import build_method


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        ("MS-CMRSeg", 2),
        ("BTCV and CHAOS", 2),
        ("MM-WHS", 3),
        ("BraTS", 3),
        ("MSD Hippocampus", 3),
        ("MSD Prostate", 2),
        ("MSD Heart", 3),
        ("MSD Liver", 3),
        ("ACDC", 2),
        ("TotalSegmentator", 3),
        ("AMOS", 2),
        ("single slices", 2),
    ],
)
def test_slices_where_any_modality_is_thick(name: str, dimensions: int) -> None:
    plan = plan_recipe(ALL[name])
    assert plan.recipe.spatial_dims == dimensions
    assert f"{dimensions}D" in plan.reasons["dimensions"]


@pytest.mark.parametrize("name", list(ALL))
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_plan_is_a_network_that_can_be_built(name: str, device: str) -> None:
    recipe = plan_recipe(ALL[name], "cuda" if device == "cuda" else "cpu").recipe
    network = replace(recipe.network, width=1, widest=2, blocks=(1,) * len(recipe.network.blocks))  # type: ignore[attr-defined]
    method = build_method(replace(recipe, network=network), ["a", "b"], 3)
    assert all(size % step == 0 for size, step in zip(recipe.patch_size, method.network.size_multiples, strict=True))


def test_the_same_fingerprint_gets_the_same_plan() -> None:
    for facts in ALL.values():
        assert plan_recipe(facts) == plan_recipe(facts)


def test_thick_slices_keep_their_distance_and_share_a_grid_in_plane() -> None:
    plan = plan_recipe(ABDOMEN_CT_AND_THICK_MR, "cuda", 8)
    spacing = plan.recipe.preprocessing.spacing_mm
    assert spacing is not None
    assert spacing[0] is None
    assert spacing[1] == spacing[2]
    assert 1.0 <= float(spacing[1] or 0) <= 1.5 * 1.005 + 0.01  # the median of both modalities is 1.005 mm
    assert plan.recipe.preprocessing.windows == (("ct", -150.0, 250.0),)
    assert plan.recipe.preprocessing.roi == "body"


@pytest.mark.parametrize(
    ("values", "window"),
    [((-160.04, 240.06), (-160.0, 240.1)), ((0.4126, 0.4379), (0.4126, 0.4379)), ((0.05, 0.93), (0.05, 0.93))],
)
def test_a_window_of_values_in_another_unit_keeps_its_width(
    values: tuple[float, float], window: tuple[float, float]
) -> None:
    facts = modality("ct", (60, 256, 256), (3.0, 1.0, 1.0), is_ct=True)
    scaled = replace(facts, percentiles=(values[0], *facts.percentiles[1:-1], values[1]))
    assert plan_recipe(fingerprint(scaled)).recipe.preprocessing.windows == (("ct", *window),)


def test_a_ct_of_one_value_has_no_window() -> None:
    facts = replace(modality("ct", (60, 256, 256), (3.0, 1.0, 1.0), is_ct=True), percentiles=(0.0,) * 7)
    assert plan_recipe(fingerprint(facts)).recipe.preprocessing.windows == ()


def with_body(name: str, spacing: tuple[float, float, float], body_mm: tuple[float, float, float]) -> ModalityFacts:
    return replace(modality(name, (40, 200, 200), spacing), body_mm=body_mm)


def test_the_grid_of_slices_by_hand() -> None:
    """Rows 1.0 and 1.6 mm, columns 1.0 and 2.0: medians 1.3 and 1.5, of which the median is 1.4 for both. The larger
    body, 260 x 300 mm, in 128 x 128 pixels of 1.4 mm: sqrt(78,000 / (16,384 * 1.96)) = 1.5585 times coarser."""
    facts = with_body("ct", (8, 1.0, 1.0), (80, 200, 300)), with_body("mr", (8, 1.6, 2.0), (90, 260, 250))
    plan = plan_recipe(fingerprint(*facts), "cpu")
    assert plan.recipe.preprocessing.spacing_mm == (None, 2.19, 2.19)
    assert "1.56 times coarser" in plan.reasons["preprocessing.spacing_mm"]
    assert isinstance(plan.recipe.network, UNetConfig)
    assert plan.recipe.network.width == 12
    huge = with_body("ct", (8, 1.0, 1.0), (80, 900, 900))  # 7.03 times: more than 3 is not allowed
    assert plan_recipe(fingerprint(huge), "cpu").recipe.preprocessing.spacing_mm == (None, 3.0, 3.0)


def test_the_grid_of_volumes_by_hand() -> None:
    """A quarter of 200 x 300 x 400 mm in 64 x 96 x 96 voxels of 2 mm^3: the cube root of 5.0863, 1.7198."""
    plan = plan_recipe(fingerprint(with_body("ct", (2, 1.0, 1.0), (200, 300, 400))), "cpu")
    assert plan.recipe.preprocessing.spacing_mm == (3.44, 1.72, 1.72)
    assert isinstance(plan.recipe.network, UNetConfig)
    assert plan.recipe.network.width == 8
    nearly = plan_recipe(fingerprint(with_body("ct", (2, 1.0, 1.04), (200, 300, 400))), "cpu")
    spacing = nearly.recipe.preprocessing.spacing_mm
    assert spacing is not None
    assert spacing[1] == spacing[2], "less than 5 % apart: the finer of both"
    apart = plan_recipe(fingerprint(with_body("ct", (2, 1.0, 1.1), (200, 300, 400))), "cpu")
    assert apart.recipe.preprocessing.spacing_mm is not None
    assert apart.recipe.preprocessing.spacing_mm[2] == pytest.approx(
        1.1 * apart.recipe.preprocessing.spacing_mm[1], abs=0.02
    )


@pytest.mark.parametrize(
    ("device", "memory_gb", "hours", "voxels"),
    [
        ("cuda", 8.0, 1.0, 112 * 128 * 128),
        ("cuda", 16.0, 1.0, 2 * 112 * 128 * 128),
        ("cuda", 80.0, 1.0, 4 * 112 * 128 * 128),
        ("cpu", 8.0, 0.2, 64 * 96 * 96),
        ("cpu", 8.0, 2.0, 2 * 64 * 96 * 96),
        ("cpu", 8.0, 9.0, 4 * 64 * 96 * 96),
    ],
)
def test_voxels_of_a_patch_follow_memory_or_hours_up_to_four_times(
    device: Device, memory_gb: float, hours: float, voxels: int
) -> None:
    plan = plan_recipe(WHOLE_HEART, device, memory_gb=memory_gb, hours=hours)
    assert f"at most {voxels:,} voxels" in plan.reasons["patch_size"]
    assert math.prod(plan.recipe.patch_size) <= voxels


@pytest.mark.parametrize(
    ("shape", "spacing", "dimensions"),
    [
        ((8, 200, 200), (2, 1, 1), 3),
        ((7, 200, 200), (2, 1, 1), 2),
        ((40, 200, 200), (3.0, 1, 2), 3),  # 3 of the smaller pixels apart
        ((40, 200, 200), (3.01, 1, 2), 2),
    ],
)
def test_where_slices_end_and_volumes_begin(
    shape: tuple[float, float, float], spacing: tuple[float, float, float], dimensions: int
) -> None:
    assert plan_recipe(fingerprint(modality("ct", shape, spacing))).recipe.spatial_dims == dimensions


def test_a_scan_whose_body_fills_less_than_seven_tenths_is_cropped() -> None:
    rois = [plan_recipe(fingerprint(modality("ct", (40, 200, 200), (2, 1, 1), body=b))).recipe for b in (0.69, 0.7)]
    assert [recipe.preprocessing.roi for recipe in rois] == ["body", "none"]


def test_a_network_has_a_stage_more_than_it_halves_and_steps_of_its_own() -> None:
    plan = plan_recipe(fingerprint(modality("ct", (1, 32, 32), (5, 1, 1))))
    assert plan.recipe.patch_size == (32, 32)  # 32, 16, 8, 4
    assert isinstance(plan.recipe.network, UNetConfig)
    assert len(plan.recipe.network.blocks) == 4
    for steps, warmup, every in ((200, 20, 50), (10_000, 50, 1000), (30, 3, 30)):
        recipe = plan.with_steps(steps, "the clock").recipe
        assert (recipe.optimization.warmup_steps, recipe.validate_every) == (warmup, every)


def test_volumes_of_several_planes_meet_in_one() -> None:
    plan = plan_recipe(WHOLE_HEART)
    assert plan.recipe.preprocessing.plane == "axial"
    assert plan_recipe(HEART_SHORT_AXIS).recipe.preprocessing.plane == "native"


def test_a_person_may_want_volumes_of_thick_slices() -> None:
    recipe = plan_recipe(ABDOMEN_CT_AND_THICK_MR, "cuda", 8, dimensions="3").recipe
    assert recipe.spatial_dims == 3
    assert recipe.network.strides[0] == (1, 2, 2)  # type: ignore[attr-defined]
    assert recipe.augmentation == Augmentation(in_plane_only=True)
    with pytest.raises(InputError, match="single slices"):
        plan_recipe(SINGLE_SLICES, dimensions="3")


@pytest.mark.parametrize(("dimensions", "degrees"), [("2", 60.0), ("3", 15.0)])
def test_slices_are_turned_widely(dimensions: Dimensions, degrees: float) -> None:
    plan = plan_recipe(ABDOMEN_CT_AND_THICK_MR, dimensions=dimensions)
    assert plan.recipe.augmentation.rotation_degrees == degrees
    assert ("augmentation.rotation_degrees" in plan.reasons) == (dimensions == "2")


def test_more_memory_or_time_makes_larger_patches() -> None:
    for device, few, many in [("cuda", {"memory_gb": 8}, {"memory_gb": 24}), ("cpu", {"hours": 0.2}, {"hours": 8})]:
        small, large = (plan_recipe(WHOLE_HEART, device, **budget).recipe.patch_size for budget in (few, many))  # type: ignore[arg-type]
        assert all(a <= b for a, b in zip(small, large, strict=True))
        assert small != large


@pytest.mark.parametrize(
    ("labeled", "dimensions", "stage_norms"),
    [(10, "2", (("encoder1", "instance"),)), (9, "2", ()), (0, "2", ()), (10, "3", ())],
)
def test_slices_of_modalities_with_labels_get_batch_norm_behind_instance_norm(
    labeled: int, dimensions: Dimensions, stage_norms: tuple[tuple[str, str], ...]
) -> None:
    beside = modality("mr", (40, 256, 256), (2, 1, 1), labeled=labeled)
    plan = plan_recipe(fingerprint(modality("ct", (40, 256, 256), (2, 1, 1)), beside), dimensions=dimensions)
    assert isinstance(plan.recipe.network, UNetConfig)
    assert plan.recipe.network.stage_norms == stage_norms
    assert plan.recipe.network.norm == ("batch" if stage_norms else "instance")
    assert ("network.norm" in plan.reasons) == ("network.stage_norms" in plan.reasons) == bool(stage_norms)


def test_two_images_are_too_few_for_batch_norm() -> None:
    beside = modality("mr", (40, 256, 256), (2, 1, 1))
    plan = plan_recipe(fingerprint(modality("ct", (40, 256, 256), (2, 1, 1)), beside), dimensions="2")
    assert isinstance(plan.recipe.network, UNetConfig)
    assert plan.with_batch(4, "memory").recipe.network == plan.recipe.network
    fewer = plan.with_batch(2, "memory")
    assert fewer.recipe.network == replace(plan.recipe.network, norm="instance", stage_norms=())
    assert not {"network.norm", "network.stage_norms"} & fewer.reasons.keys()


def test_a_modality_with_few_labels_borrows() -> None:
    many, few = modality("ct", (9, 64, 64), (5, 1, 1)), modality("mr", (9, 64, 64), (5, 1, 1), labeled=1)
    assert plan_recipe(fingerprint(many, many)).recipe.randomization.borrowed == 0
    plan = plan_recipe(fingerprint(many, few))
    assert plan.recipe.randomization.borrowed == 0.75
    assert "mr has 1 labeled patient" in plan.reasons["randomization.borrowed"]
    enough = plan_recipe(fingerprint(replace(many, labeled_patients=30), replace(few, labeled_patients=10)))
    assert enough.recipe.randomization.borrowed == 0, "ten are enough, whatever the other has"
    assert "randomization.borrowed" not in enough.reasons


def test_simulated_scans_of_a_modality_with_few_labels_share_a_norm_and_random_contrast() -> None:
    many, none = (modality(name, (9, 256, 256), (8, 1, 1), labeled=n) for name, n in (("bssfp", 20), ("lge", 0)))
    plan = plan_recipe(fingerprint(many, replace(none, simulated_patients=29)))
    assert isinstance(plan.recipe.network, UNetConfig)
    assert not plan.recipe.network.modality_norm
    assert (plan.recipe.network.norm, plan.recipe.network.stage_norms) == ("instance", ())
    assert (plan.recipe.randomization.share, plan.recipe.randomization.borrowed) == (0.7, 0)
    assert (plan.recipe.augmentation.elastic, plan.recipe.augmentation.elastic_strain) == (0.7, 0.9)
    assert plan.recipe.postprocessing.smoothing_mm == 3
    assert plan.recipe.postprocessing.background_log_odds == 0.5
    assert "lge has 0 labeled patients, 29 simulated" in plan.reasons["randomization.share"]
    enough = replace(many, name="lge", simulated_patients=29)
    assert plan_recipe(fingerprint(many, enough)).recipe == plan_recipe(fingerprint(many, many)).recipe
    nobody_of_lge = [
        replace(none, name=name, labeled_patients=n, simulated_patients=9) for name, n in (("lge", 0), ("bssfp", 1))
    ]
    recipe = plan_recipe(replace(fingerprint(*nobody_of_lge), classes=("background", "LV"))).recipe
    assert (recipe.randomization.share, recipe.init_from) == (0.7, None)
    t2 = replace(none, name="t2")
    with_t2 = plan_recipe(fingerprint(many, replace(none, simulated_patients=29), t2)).recipe
    assert (with_t2.randomization.share, with_t2.randomization.borrowed) == (0.7, 0.75)
    said = plan_recipe(fingerprint(many, replace(none, labeled_patients=1, simulated_patients=2), t2)).reasons
    assert said["randomization.borrowed"].startswith(
        "lge has 1 labeled patient, 2 simulated; t2 has 0 labeled patients: borrows"
    )
    nobody = plan_recipe(fingerprint(replace(none, simulated_patients=29), t2)).recipe
    assert nobody.randomization == with_t2.randomization, "where no patient is labeled simulated scans alone teach"


@pytest.mark.parametrize(
    ("classes", "name", "labeled", "simulated", "advice"),
    [
        (("background", "LV"), "lge", 0, 0, "lge: few labels; simulated scans can stand beside yours.*--anatomy heart"),
        (("background", "liver"), "t2", 3, 0, "t2: few labels.*--anatomy abdomen"),
        (("background", "Liver"), "t2", 3, 0, "t2: few labels.*--anatomy abdomen"),
        (("background", "kidney_left"), "t2", 3, 0, "t2: few labels.*--anatomy abdomen"),
        (("background", "LV"), "lge", 0, 9, "^$"),
        (("background", "LV"), "lge", 10, 0, "^$"),
        (("background", "LV"), "t1", 0, 0, "^$"),
        (("background", "brain"), "lge", 0, 0, "^$"),
    ],
)
def test_what_can_be_simulated_is_said(
    classes: tuple[str, ...], name: str, labeled: int, simulated: int, advice: str
) -> None:
    scarce = replace(modality(name, (9, 256, 256), (8, 1, 1), labeled=labeled), simulated_patients=simulated)
    facts = replace(fingerprint(modality("bssfp", (9, 256, 256), (8, 1, 1)), scarce), classes=classes)
    assert re.search(advice, simulated_advice(facts))


def test_the_phantom_simulates_what_the_advice_says() -> None:
    assert {anatomy: (tuple(LABEL_VALUES[anatomy]), CLASSES[anatomy][1:]) for anatomy in CLASSES} == SIMULATED


@pytest.mark.parametrize(
    ("classes", "labeled", "device", "begun"),
    [
        (("background", "LV", "scar"), 4, "cpu", True),
        (("background", "lv", "scar"), 4, "cpu", True),
        (("background", "left ventricle", "scar"), 4, "cpu", True),
        (("background", "LV", "scar"), 5, "cpu", False),
        (("background", "liver"), 4, "cpu", False),
        (("background", "LV", "scar"), 4, "cuda", False),  # its network is another one
    ],
)
def test_hearts_with_few_labels_of_any_modality_begin_with_simulated_ones(
    classes: tuple[str, ...], labeled: int, device: Device, begun: bool
) -> None:
    few = [modality(name, (9, 256, 256), (8, 1, 1), labeled=labeled) for name in ("lge", "bssfp")]
    plan = plan_recipe(replace(fingerprint(*few), classes=classes), device)
    assert (plan.recipe.init_from == "unpaired://phantom_heart") == begun
    assert not begun or plan.recipe.postprocessing.background_log_odds == 0.5
    assert not begun or plan.recipe.optimization.learning_rate == 3e-4
    assert (plan.recipe.randomization.share == 0) == (begun or labeled == 5)
    assert (f"taught of {classes[1]}" in plan.reasons.get("init_from", "")) == begun
    beside = [replace(facts, simulated_patients=9) for facts in few]
    with_simulated = plan_recipe(replace(fingerprint(*beside), classes=classes), device)
    if begun:
        norms_alone = replace(plan.recipe, postprocessing=with_simulated.recipe.postprocessing)
        assert with_simulated.recipe == norms_alone, "norms of their own, no random contrast; smoothed"
        assert "randomization.share" not in with_simulated.reasons
    assert (with_simulated.recipe.init_from is not None) == begun
    fewer = [replace(few[0], labeled_patients=labeled - 2), few[1]]
    unequal = plan_recipe(replace(fingerprint(*fewer), classes=classes), device)
    assert (unequal.recipe.randomization.borrowed == 0) == begun, "the one with fewer would borrow"
    assert ("randomization.borrowed" not in unequal.reasons) == begun
    assert plan.recipe.network == (
        SIMULATED_NETWORK if begun else plan_recipe(fingerprint(*few), device).recipe.network
    )


@pytest.mark.parametrize(
    ("labeled", "dimensions", "elastic", "share"),
    [((4, 4), "2", 0.7, 0.7), ((4, 1), "2", 0.7, 0.0), ((5, 4), "2", 0.0, 0.0), ((4, 4), "3", 0.0, 0.0)],
)
def test_few_labels_of_every_modality_get_stretched_tissue_and_random_contrast(
    labeled: tuple[int, int], dimensions: Dimensions, elastic: float, share: float
) -> None:
    few = [modality(name, (40, 256, 256), (2, 1, 1), labeled=n) for name, n in zip(("ct", "mr"), labeled, strict=True)]
    plan = plan_recipe(fingerprint(*few), dimensions=dimensions)
    assert (plan.recipe.augmentation.elastic, plan.recipe.randomization.share) == (elastic, share)
    assert plan.recipe.augmentation.elastic_strain == (0.9 if elastic else Augmentation().elastic_strain)
    assert ("no modality has more than 4 labeled patients" in plan.reasons.get("augmentation.elastic", "")) == (
        elastic > 0
    )
    assert ("randomization.share" in plan.reasons) == (share > 0)
    assert (plan.recipe.randomization.borrowed > 0) == (labeled[0] != labeled[1]), "who borrows has random contrast"


@pytest.mark.parametrize(("shown", "rare"), [(9, True), (10, False), (0, False), (20, False)])
def test_cases_of_a_class_that_few_label_are_drawn_more_often(shown: int, rare: bool) -> None:
    facts = replace(modality("mr", (9, 64, 64), (5, 1, 1)), labeled_with={"liver": 20, "spleen": shown})
    plan = plan_recipe(fingerprint(modality("ct", (9, 64, 64), (5, 1, 1)), facts))
    assert plan.recipe.rare_classes == (0.5 if rare else 0)
    assert (plan.reasons.get("rare_classes", "").startswith("spleen in 9 of 20 labeled patients of mr")) == rare


def test_nothing_labeled_and_too_small_get_one_line() -> None:
    with pytest.raises(InputError, match="nothing to train on"):
        plan_recipe(fingerprint(modality("ct", (9, 64, 64), (5, 1, 1), labeled=0)))
    with pytest.raises(InputError, match="too small for a U-Net"):
        plan_recipe(fingerprint(modality("ct", (9, 4, 4), (5, 1, 1))))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.tuples(st.integers(1, 600), st.integers(16, 1024), st.integers(16, 1024)),
            st.tuples(st.floats(0.3, 12), st.floats(0.2, 5)),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(["cpu", "cuda"]),
    st.floats(0.5, 80),
)
def test_any_dataset_has_a_plan(
    scans: list[tuple[tuple[int, int, int], tuple[float, float]]], device: str, memory: float
) -> None:
    facts = fingerprint(
        *(
            modality(f"m{number}", (float(shape[0]), float(shape[1]), float(shape[2])), (depth, pixel, pixel))
            for number, (shape, (depth, pixel)) in enumerate(scans)
        )
    )
    recipe = plan_recipe(facts, "cuda" if device == "cuda" else "cpu", memory).recipe
    strides = recipe.network.strides or ((2,) * recipe.spatial_dims,) * (len(recipe.network.blocks) - 1)  # type: ignore[attr-defined]
    steps = multiples(strides, recipe.spatial_dims)
    assert all(size % step == 0 for size, step in zip(recipe.patch_size, steps, strict=True))


UNLABELED = CaseFacts(
    "a", "p", "lge", False, (9, 256, 256), (8, 1, 1), "axial", "LPS", (0.0,) * 7, 0, 1, 1, (72, 256, 256), {}
)


def test_scans_without_labels_are_said_to_be_left_out() -> None:
    name = HEART_SHORT_AXIS.modalities[0].name
    labeled, *more = (
        replace(UNLABELED, id=letter, modality=name, labeled=on)
        for letter, on in zip("abc", (True, False, False), strict=True)
    )
    assert "unlabeled" not in plan_recipe(replace(HEART_SHORT_AXIS, cases=(labeled,))).reasons["method"]
    plan = plan_recipe(replace(HEART_SHORT_AXIS, cases=(labeled, *more)))
    assert f"; unlabeled scans (2 of {name}) are not used: a teacher on them gained" in plan.reasons["method"]
    assert (plan.recipe.method, plan.recipe.unlabeled_batch_size) == (SupervisedConfig(), 0)
    simulated = tuple(replace(facts, simulated_patients=9) for facts in HEART_SHORT_AXIS.modalities)
    beside = plan_recipe(replace(HEART_SHORT_AXIS, modalities=simulated, cases=tuple(more)))
    assert "are not used: beside simulated scans a teacher" in beside.reasons["method"]


@pytest.mark.parametrize(
    ("labeled", "dimensions", "expected"),
    [((3, 2), "2", True), ((3, 0), "2", False), ((3, 20), "2", False), ((3, 2), "3", False)],
)
def test_few_labels_of_every_modality_and_unlabeled_scans_get_a_teacher(
    labeled: tuple[int, int], dimensions: Dimensions, expected: bool
) -> None:
    of = [
        modality(name, (9, 256, 256), (8, 1, 1), labeled=n) for name, n in zip(("lge", "bssfp"), labeled, strict=True)
    ]
    plan = plan_recipe(replace(fingerprint(*of), cases=(UNLABELED,)), dimensions=dimensions)
    recipe = plan.recipe
    assert isinstance(recipe.method, WeakToStrongConfig) == expected
    assert recipe.unlabeled_batch_size == (recipe.batch_size if expected else 0)
    assert not expected or recipe.randomization.share == 0
    assert plan.reasons["method"].startswith("few labels beside unlabeled scans (1 of lge): a teacher") == expected
    assert plan.with_batch(2, "memory").recipe.unlabeled_batch_size == (2 if expected else 0)
    simulated = [replace(facts, simulated_patients=9) for facts in of]
    for others in (fingerprint(*of), replace(fingerprint(*simulated), cases=(UNLABELED,))):
        without = plan_recipe(others, dimensions=dimensions).recipe
        assert (without.method, without.unlabeled_batch_size) == (SupervisedConfig(), 0)


@pytest.mark.parametrize(("unlabeled", "expected"), [((7, 8), True), ((7, 7), False)])
def test_a_teacher_with_enough_scans_of_each_modality_has_batch_norm(
    unlabeled: tuple[int, int], expected: bool
) -> None:
    few = [modality(name, (9, 256, 256), (8, 1, 1), labeled=n) for name, n in (("lge", 3), ("bssfp", 2))]
    cases = tuple(
        replace(UNLABELED, id=f"{facts.name}{number}", modality=facts.name)
        for facts, count in zip(few, unlabeled, strict=True)
        for number in range(count)
    )
    plan = plan_recipe(replace(fingerprint(*few), cases=cases))
    assert isinstance(plan.recipe.method, WeakToStrongConfig)
    assert isinstance(plan.recipe.network, UNetConfig)
    assert plan.recipe.network.stage_norms == ((("encoder1", "instance"),) if expected else ())
    assert plan.recipe.network.norm == ("batch" if expected else "instance")
    assert ("network.norm" in plan.reasons) == ("network.stage_norms" in plan.reasons) == expected
    fewer = plan.with_batch(2, "memory").recipe.network
    assert fewer == replace(plan.recipe.network, norm="instance", stage_norms=())


@pytest.mark.parametrize(("dimensions", "degrees"), [("2", (30.0,)), ("3", ())])
def test_slices_are_predicted_turned_too(dimensions: Dimensions, degrees: tuple[float, ...]) -> None:
    plan = plan_recipe(ABDOMEN_CT_AND_THICK_MR, dimensions=dimensions)
    assert plan.recipe.turned_degrees == degrees
    assert ("turned_degrees" in plan.reasons) == bool(degrees)
