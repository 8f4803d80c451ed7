"""The affinity matrices of one run over the cases that are looked at, before and after its training."""

import torch

from unpaired.analyses.affinities.computation import pooled_affinities, untrained_network
from unpaired.analyses.affinities.figure import AffinityView
from unpaired.analyses.cases import read_case
from unpaired.analyses.plan import Plan
from unpaired.networks.network import Network
from unpaired.runs.run import Run


def affinity_view(name: str, run: Run, network: Network, plan: Plan, device: torch.device) -> AffinityView:
    """The affinities of the plan's layers and cases in a run's network, as it began and trained; both on `device`."""
    fresh = untrained_network(run).to(device)
    before, after = (
        [
            pooled_affinities(
                state,
                run,
                (read_case(run, plan.dataset, entry) for entry in plan.cases[modality]),
                plan.pair,
                len(plan.dataset.classes),
            )
            for modality in plan.modalities
        ]
        for state in (fresh, network)
    )
    return AffinityView(name, plan.pair, plan.modalities, plan.dataset.classes, before, after)
