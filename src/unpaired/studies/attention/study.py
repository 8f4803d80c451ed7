"""SSC's figures: correlations of classes, where each class attends, how class embeddings approach each other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from unpaired.data.case import Case
from unpaired.data.dataset import CaseEntry
from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.curves import Curve, curves_of
from unpaired.figures.feature_maps import telling_slice
from unpaired.inference.predictor import choose_device
from unpaired.methods.structured_consistency import CLASS_DISTANCE, SSC
from unpaired.studies.attention.computation import attention_maps, mean_correlations, trained_ssc
from unpaired.studies.attention.figure import AttentionView, CorrelationView
from unpaired.studies.plan import Member, Plan

Read = Callable[[CaseEntry], Case]


@dataclass
class ClassAttention:
    """What was found of the runs that have it; `notes` say which SSC runs have not, and why."""

    correlations: list[CorrelationView] = field(default_factory=list)
    attention: list[AttentionView] = field(default_factory=list)
    distances: list[Curve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        member: Member,
        plan: Plan,
        read: Read,
        view_of: Callable[[Case], CaseView],
        shown: Sequence[str],
        device: str,
    ) -> None:
        """Look at a run; `shown` are the ids of the cases that are drawn. Nothing for a run of another method."""
        assert member.run is not None
        self.distances += [
            Curve(f"distance of class embeddings, {member.name}", curve.lines, smooth=False)
            for curve in curves_of(member.run.rows("log"), (), plan.dataset.classes)
            if curve.title == CLASS_DISTANCE and len(plan.modalities) > 1
        ]
        try:
            method = trained_ssc(member.run)
        except InputError as error:
            self.notes.append(f"{member.name}: no attention to show: {error}")
            return
        if method is None:
            return
        method = method.to(choose_device(device))
        correlations = _correlations(member, method, plan, read)
        self.correlations += [correlations] if correlations is not None else []
        self.attention += _attention(member, method, plan, read, view_of, shown)


def _correlations(member: Member, method: SSC, plan: Plan, read: Read) -> CorrelationView | None:
    assert member.run is not None
    recipe, classes = member.run.recipe, plan.dataset.classes
    matrices = [
        mean_correlations(method, recipe, (read(entry) for entry in plan.cases[modality]), len(classes))
        for modality in plan.modalities
    ]
    kept = [
        number for number in range(len(method.scales)) if any(of[number] is not None for of in matrices)
    ]  # a row without L_img has no correlations, or at its first scale alone
    if not kept:
        return None
    scales = tuple(method.scales[number] for number in kept)
    chosen = [[of_modality[number] for number in kept] for of_modality in matrices]
    return CorrelationView(member.name, scales, plan.modalities, classes, chosen)


def _attention(
    member: Member, method: SSC, plan: Plan, read: Read, view_of: Callable[[Case], CaseView], shown: Sequence[str]
) -> Iterator[AttentionView]:
    assert member.run is not None
    for case_id in shown:
        case = read(plan.dataset.case(case_id))
        view = view_of(case)
        assert view.reference is not None
        depth = telling_slice(view.reference)
        maps = attention_maps(method, member.run.recipe, case, depth)
        yield AttentionView(member.name, tuple(method.scales), view, depth, tuple(maps))
