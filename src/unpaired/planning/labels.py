"""What a plan makes of who is labeled: norms, whether modalities with few labels borrow, what unlabeled scans do."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from unpaired.choices import counted
from unpaired.data.postprocess import Postprocessing
from unpaired.data.randomization import Labels, Randomization
from unpaired.dicom.codes import same_classes
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.networks.unet import UNetConfig
from unpaired.planning.fingerprint import Fingerprint
from unpaired.recipe import Recipe

SIMULATED_HEARTS = "unpaired://phantom_heart"
SIMULATED_CLASSES = ("LV", "myo", "RV", "LA", "AA")
"""What the network at that address knows."""
SIMULATED_NETWORK = UNetConfig(width=16, blocks=(1, 1, 1, 1, 1))
"""What can begin with those weights, on slices of one channel."""
SIMULATED = {
    "heart": (("ct", "bssfp", "lge"), SIMULATED_CLASSES),
    "abdomen": (("ct", "t2"), ("liver", "spleen", "left kidney", "right kidney")),
}
"""{anatomy of `unpaired phantom`: its modalities, its classes}."""
FEW = 5
"""Labeled patients of a modality below which they are tried; they were measured with one to three."""


def helped(recipe: Recipe, fingerprint: Fingerprint, reasons: dict[str, str]) -> Recipe:
    """The recipe with what helps modalities that have few labels or none; `reasons` gets the fact that decided it.

    Where such a modality has simulated scans, random convolutions and one norm for all modalities bring these and those
    of patients together (docs/results/scarce-labels.md); else it borrows labeled samples of the others.
    """
    labeled = {facts.name: facts.labeled_patients for facts in fingerprint.modalities}
    enough = Randomization().enough
    most = max(labeled.values()) or enough  # nobody is labeled: simulated scans alone lend
    simulated = {
        facts.name: facts.simulated_patients
        for facts in fingerprint.modalities
        if facts.simulated_patients and facts.labeled_patients < enough
    }
    randomization = Randomization()
    if any(count < min(most, enough) and name not in simulated for name, count in labeled.items()):
        randomization = Randomization(borrowed=0.75)
        reasons["randomization.borrowed"] = (
            f"{'; '.join(_borrowers(fingerprint, randomization))}: borrows labeled samples of the others, randomized"
        )
    planned = recipe.network
    if not simulated or not isinstance(planned, UNetConfig):
        return replace(recipe, randomization=randomization)
    counts = "; ".join(
        f"{name} has {counted(labeled[name], 'labeled patient')}, {n} simulated" for name, n in simulated.items()
    )
    reasons["randomization.share"] = f"{counts}: random contrast, so that these and scans of patients look alike"
    reasons["network.modality_norm"] = "one norm for all, since those of simulated scans alone don't fit patients"
    reasons["augmentation.elastic"] = "tissue is stretched and squeezed too, as it was where simulated scans helped"
    reasons["postprocessing"] = (
        "smoothing gave hearts another 0.8 Dice where simulated scans stood in for labels; organs came out a fifth too "
        "large, and log odds for background halve that"
    )
    return replace(
        recipe,
        network=replace(planned, modality_norm=False),
        randomization=replace(randomization, share=0.7),
        augmentation=replace(recipe.augmentation, elastic=0.7, elastic_strain=0.9),
        postprocessing=Postprocessing(smoothing_mm=3.0, background_log_odds=0.5),
    )


def norms_by_labels(
    network: UNetConfig, fingerprint: Fingerprint, volumes: bool, reasons: dict[str, str]
) -> UNetConfig:
    """Batch norm behind the first stage, for slices of modalities that all have labels; else instance norm.

    Statistics of three labeled patients took 8 to 11 Dice of LGE (docs/results/organ-sizes.md); `taught` has those of
    unlabeled scans too.
    """
    fewest = min(facts.labeled_patients for facts in fingerprint.modalities)
    if volumes or fewest < Randomization().enough:
        return network
    return _batch_norm_behind_the_first_stage(network, reasons)


def _batch_norm_behind_the_first_stage(network: UNetConfig, reasons: dict[str, str]) -> UNetConfig:
    reasons["network.norm"] = (
        "batch norm: norms of a slice alone drew organs in slices beyond them, a tenth of their volume in hearts"
    )
    reasons["network.stage_norms"] = "instance norm where contrast is met, which differs between patients"
    return replace(network, norm="batch", stage_norms=(("encoder1", "instance"),))


def _borrowers(fingerprint: Fingerprint, randomization: Randomization) -> Iterator[str]:
    """The modalities that borrow, with their labeled patients and simulated scans: those of few simulated ones too."""
    labels = {facts.name: Labels(facts.labeled_patients, facts.simulated_patients) for facts in fingerprint.modalities}
    for name, borrowing in randomization.borrowing(labels).items():
        if borrowing.share:
            beside = f", {labels[name].simulated} simulated" if labels[name].simulated else ""
            yield f"{name} has {counted(labels[name].patients, 'labeled patient')}{beside}"


def _among(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The names that are classes, perhaps in other words, as `init_from` and `unpaired phantom --like` take them."""
    known = same_classes(names, classes)
    return [name for name in names if name in known]


def simulated_advice(fingerprint: Fingerprint) -> str:
    """A line for people whose modality with few labels or none can be simulated, else "": also if all scans are."""
    if fingerprint.cases and all(case.simulated for case in fingerprint.cases):
        return ""
    lacking = [facts for facts in fingerprint.modalities if facts.labeled_patients < Randomization().enough]
    for anatomy, (modalities, classes) in SIMULATED.items():
        able = [facts.name for facts in lacking if facts.name in modalities and not facts.simulated_patients]
        if able and _among(fingerprint.classes, classes):
            return (
                f"{', '.join(able)}: few labels; simulated scans can stand beside yours (`unpaired phantom SIMULATED "
                f"--like DATA --anatomy {anatomy}`, `unpaired join DATA SIMULATED --out BOTH.json`, and plan BOTH.json)"
            )
    return ""


def begun_on_simulated_hearts(recipe: Recipe, fingerprint: Fingerprint, reasons: dict[str, str]) -> Recipe:
    """The recipe with weights from simulated hearts, where every modality has few labels, so that none can lend some.

    Beside simulated scans too where each modality has labels: then patients' and theirs need no random contrast to look
    alike. Nobody borrows: that took 1.7 Dice of bSSFP and gave LGE 0.5 (docs/results/semi-supervised.md). Measured on
    slices of hearts, on the small network (docs/results/scarce-labels.md); so it is for those alone.
    """
    labeled = [facts.labeled_patients for facts in fingerprint.modalities]
    simulated = any(facts.simulated_patients for facts in fingerprint.modalities)
    most = max(labeled)
    known = _among(fingerprint.classes, SIMULATED_CLASSES)
    planned = recipe.network
    if most >= FEW or (simulated and min(labeled) == 0):
        return recipe
    if not known or recipe.context_slices != 1 or not isinstance(planned, UNetConfig):
        return recipe
    if replace(planned, width=SIMULATED_NETWORK.width, modality_norm=True) != SIMULATED_NETWORK:
        return recipe
    for changed in ("randomization.share", "randomization.borrowed", "network.modality_norm"):
        reasons.pop(changed, None)
    reasons["init_from"] = (
        f"no modality has more than {counted(most, 'labeled patient')}: begins with what simulated hearts taught of "
        f"{', '.join(known)}"
    )
    reasons["network.width"] = f"that of the network to begin with, for {planned.width}"
    reasons["optimization.learning_rate"] = "low, so that few patients don't make it forget what it begins with"
    reasons["augmentation.elastic"] = "few patients, so tissue is stretched and squeezed too"
    reasons.setdefault("postprocessing", "hearts came out a fifth too large, and log odds for background lessen that")
    return replace(
        recipe,
        network=SIMULATED_NETWORK,
        init_from=SIMULATED_HEARTS,
        optimization=replace(recipe.optimization, learning_rate=3e-4),
        augmentation=replace(recipe.augmentation, elastic=0.7, elastic_strain=0.9),
        randomization=Randomization(),
        postprocessing=replace(recipe.postprocessing, background_log_odds=0.5),
    )


def varied(recipe: Recipe, fingerprint: Fingerprint, reasons: dict[str, str]) -> Recipe:
    """The recipe with stretched tissue and random contrast, where every modality has labels, and few, and nothing else.

    Measured on slices of hearts, turned as plans turn them, with two and three labeled patients of each modality and
    random weights (docs/results/semi-supervised.md). Not with the phantom's weights, nor beside a teacher (`taught`).
    """
    labeled = [facts.labeled_patients for facts in fingerprint.modalities]
    simulated = any(facts.simulated_patients for facts in fingerprint.modalities)
    helped_otherwise = recipe.init_from is not None or simulated or _unlabeled(fingerprint)
    if helped_otherwise or min(labeled) == 0 or max(labeled) >= FEW:
        return recipe
    few = f"no modality has more than {counted(max(labeled), 'labeled patient')}"
    reasons["augmentation.elastic"] = f"{few}, so tissue is stretched and squeezed too"
    recipe = replace(recipe, augmentation=replace(recipe.augmentation, elastic=0.7, elastic_strain=0.9))
    if recipe.randomization.borrowed:
        return recipe
    reasons["randomization.share"] = f"{few}: random contrast in most samples, which gave LGE hearts most"
    return replace(recipe, randomization=Randomization(share=0.7))


def taught(recipe: Recipe, fingerprint: Fingerprint, reasons: dict[str, str]) -> Recipe:
    """The recipe with a teacher that labels unlabeled scans, where every modality has labels, and few.

    Measured on slices of hearts with two and three labeled patients of each modality, on random weights and on those of
    simulated hearts. Beside simulated scans it gave nothing (docs/results/semi-supervised.md), and beside slices that
    one labeled patient of a modality borrows from another's it gave little (docs/results/scarce-labels.md). The student
    sees the unlabeled patients, so batch norm has their statistics too (docs/results/organ-sizes.md).
    """
    labeled = [facts.labeled_patients for facts in fingerprint.modalities]
    counts = _unlabeled(fingerprint)
    simulated = any(facts.simulated_patients for facts in fingerprint.modalities)
    if not counts or simulated or min(labeled) == 0 or max(labeled) >= FEW:
        return recipe
    reasons["method"] = (
        f"few labels beside unlabeled scans ({counts}): a teacher labels these, and the student finds it again in "
        "disturbed ones (weak to strong)"
    )
    reasons["unlabeled_batch_size"] = "as many unlabeled images as labeled ones"
    recipe = replace(recipe, method=WeakToStrongConfig(recipe.method), unlabeled_batch_size=recipe.batch_size)
    unlabeled = _unlabeled_scans(fingerprint)
    seen = min(facts.labeled_patients + unlabeled[facts.name] for facts in fingerprint.modalities)
    if seen < Randomization().enough or not isinstance(recipe.network, UNetConfig):
        return recipe
    return replace(recipe, network=_batch_norm_behind_the_first_stage(recipe.network, reasons))


def method_reason(fingerprint: Fingerprint) -> str:
    """Why a plan trains on labeled scans alone, with shared kernels and a norm for each modality.

    Scans without labels are used by a teacher alone (`taught`), which was measured with few labels in every modality:
    with a tenth of them mean teacher gained less, and CAC and CMC lost (docs/results/semi-supervised.md).
    """
    reason = "shared kernels, a norm for each modality: no term beats it beyond noise where all are labeled"
    if counts := _unlabeled(fingerprint):
        beside = any(facts.simulated_patients for facts in fingerprint.modalities)
        why = (
            "beside simulated scans a teacher on them gave nothing"
            if beside
            else "a teacher on them gained where every modality has labels, and few"
        )
        reason += f"; unlabeled scans ({counts}) are not used: {why}"
    return reason


def _unlabeled(fingerprint: Fingerprint) -> str:
    """How many scans of each modality are unlabeled, such as "12 of lge"; "" if none is."""
    return ", ".join(f"{count} of {name}" for name, count in _unlabeled_scans(fingerprint).items() if count)


def _unlabeled_scans(fingerprint: Fingerprint) -> dict[str, int]:
    return {
        facts.name: sum(case.modality == facts.name and not case.labeled for case in fingerprint.cases)
        for facts in fingerprint.modalities
    }


def rare_classes(fingerprint: Fingerprint, reasons: dict[str, str]) -> float:
    """How much more often cases of rare classes are drawn; why, into `reasons`.

    Half-way to equally often where less than half of a modality's labeled patients have a class, else not at all.
    """
    rare = [
        f"{name} in {count} of {facts.labeled_patients} labeled patients of {facts.name}"
        for facts in fingerprint.modalities
        for name, count in facts.labeled_with.items()
        if 0 < 2 * count < facts.labeled_patients
    ]
    if not rare:
        return 0.0
    reasons["rare_classes"] = f"{'; '.join(rare)}: their cases are drawn more often"
    return 0.5
