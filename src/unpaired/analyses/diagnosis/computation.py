"""What each term of an objective does to the weights that the modalities share, on given batches.

For a term t of weight w, with g_t its gradient on the shared weights and g_s that of the supervised terms:

    strength  = |w g_t| / |g_s|
    cosine    = <w g_t, g_s> / (|w g_t| |g_s|)
    noise     = |t(two samples of one modality)| / t(samples of different modalities)

The last one is for terms that compare modalities: what they say of two batches of *one* modality, through one
modality's own layers, is what sampling alone makes of them. Near 1 such a term says nothing of modalities. An estimate
that may fall below 0 (CSA's, cross-fitted) has less of it the more batches are looked at, if modalities do differ.
Strength and cosine differ from batch to batch; how far their means are known is said by an interval.
"""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from scipy.special import stdtrit
from torch import Tensor

from unpaired.data.batch import Batch
from unpaired.methods.method import Method
from unpaired.methods.running_maps import RunningMaps
from unpaired.networks.network import modules_by_modality
from unpaired.statistics import Interval

SUPERVISED = ("dice", "ce")
"""What stands before "/<modality>" in the names of the supervised terms of every method."""
LEVEL = 0.9
"""An interval holds the mean over many batches with this probability."""
Batches = Mapping[str, Batch]


@dataclass(frozen=True)
class TermDiagnosis:
    """What one term does; the means over the steps looked at. Terms of each modality count as one, under one name."""

    name: str
    value: float
    """The term itself, summed over modalities, without its weight."""
    weight: float
    """The factor by which it is in the loss; 0 where it takes no part."""
    strength: float
    """The length of its weighted gradient on shared weights, relative to that of the supervised terms."""
    cosine: float | None
    """The cosine between both gradients; None where one of them is 0."""
    noise: float | None
    """The share of its value that two batches of one modality have as well; None where it compares no modalities, or is
    never above 0. 1 where it is now above and now below 0, and not above in the mean: an estimate of no difference."""
    silent: bool = False
    """Whether it has no gradient on any weight in any of the steps, those of one modality or of the method included."""
    strengths: Interval | None = None
    cosines: Interval | None = None
    """Where the means over many batches lie (`LEVEL`), by how these differ; None: as they are."""
    batches: int = 0
    """The steps that were looked at."""


def diagnose_terms(method: Method, steps: Sequence[Batches], progress: float, seed: int = 0) -> list[TermDiagnosis]:
    """The diagnosis of every term of `method` on the batches of at least two steps.

    The method is left as it was, in training mode or not, and so are its norms and all random states: what is looked at
    is a copy in training mode. `progress` is the share of training done, as in `Method.forward`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        seen = [_gradients(copy.deepcopy(method).train(), batches, progress) for batches in steps]
        apart = _values(method, steps, progress)
        alike = _values_of_one_modality(method, steps, progress)
    names = list(dict.fromkeys(name for of_step in seen for name in of_step))
    return [_summed_up(name, [of_step[name] for of_step in seen if name in of_step], apart, alike) for name in names]


@dataclass(frozen=True)
class _OfStep:
    value: float
    weight: float
    strength: float
    cosine: float | None
    silent: bool


def shared_weights(method: Method) -> Sequence[Tensor]:
    """The trained weights of the network that belong to no modality; all that are trained, where each has its own."""
    network = method.network
    owned = {id(p) for own in modules_by_modality(network, network.modalities) for p in own.parameters()}
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    return [weight for weight in trained if id(weight) not in owned] or trained


def _gradients(method: Method, batches: Batches, progress: float) -> dict[str, _OfStep]:
    """{term: what it does} in one step."""
    objective = method(batches, progress)
    live = {name: term for name, term in objective.terms.items() if term.requires_grad}
    weights = torch.autograd.grad(objective.loss, list(live.values()), retain_graph=True, allow_unused=True)
    factors = {name: 0.0 if w is None else w.item() for name, w in zip(live, weights, strict=True)}
    groups: dict[str, list[str]] = {}
    for name in live:
        groups.setdefault(_group(name), []).append(name)
    shared, trained = shared_weights(method), [p for p in method.parameters() if p.requires_grad]
    gradients = {
        group: _flat_gradient([factors[name] * live[name] for name in members], shared)
        for group, members in groups.items()
    }
    nothing = torch.zeros(sum(weight.numel() for weight in shared), device=shared[0].device)
    supervised = torch.stack([nothing, *(gradients[name] for name in SUPERVISED if name in gradients)]).sum(dim=0)
    result: dict[str, _OfStep] = {}
    for group, members in groups.items():
        length, of_supervised = gradients[group].norm().item(), supervised.norm().item()
        product = length * of_supervised
        result[group] = _OfStep(
            value=sum(live[name].item() for name in members),
            weight=sum(factors[name] for name in members) / len(members),
            strength=length / of_supervised if of_supervised else 0.0,
            cosine=(gradients[group] @ supervised).item() / product if product else None,
            silent=not length and not _flat_gradient([live[name] for name in members], trained).any(),
        )
    return result


def _group(name: str) -> str:
    """Terms "dice/ct" and "dice/mr" are looked at as one, "dice"."""
    return name.partition("/")[0]


def _flat_gradient(terms: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(torch.stack(list(terms)).sum(), weights, retain_graph=True, allow_unused=True)
    flat = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]
    return torch.cat([gradient.float().flatten() for gradient in flat])


def _values(method: Method, steps: Iterable[Batches], progress: float) -> dict[str, list[float]]:
    """{term that compares modalities: its value in each step}; such a term's name has no modality in it."""
    values: dict[str, list[float]] = {}
    for batches in steps:
        with torch.no_grad():
            terms = copy.deepcopy(method).train()(batches, progress).terms
        for name, term in terms.items():
            if "/" not in name and name not in method.sums:
                values.setdefault(name, []).append(term.item())
    return values


def _values_of_one_modality(method: Method, steps: Sequence[Batches], progress: float) -> dict[str, list[float]]:
    """What `_values` computes, of one modality alone: its batches of different steps, through its own layers."""
    values: dict[str, list[float]] = {}
    for modality in steps[0]:
        alike = with_layers_of(method, modality)
        for name, of_modality in _values(alike, _of_one_modality(steps, modality), progress).items():
            values.setdefault(name, []).extend(of_modality)
    return values


def _of_one_modality(steps: Sequence[Batches], modality: str) -> Iterator[Batches]:
    """Steps in which the k-th modality has the batch that `modality` has k steps on."""
    for first in range(len(steps)):
        yield {name: steps[(first + k) % len(steps)][modality] for k, name in enumerate(steps[0])}


def with_layers_of(method: Method, modality: str) -> Method:
    """A copy whose layers of every modality hold the weights and statistics of one; norms, heads, whole networks.

    What running maps remember becomes that modality's too; so what is left between two of them is one step's sampling
    noise.
    """
    copied = copy.deepcopy(method)
    names = method.network.modalities
    for own in modules_by_modality(copied, names):
        for name in set(names) - {modality}:
            own[name].load_state_dict(_named_alike(own[modality].state_dict(), own[name].state_dict()))
    for module in copied.modules():
        if isinstance(module, RunningMaps) and modality in module.maps:
            module.maps = {name: module.maps[modality].clone() for name in module.maps}
    return copied


def _named_alike(state: Mapping[str, Tensor], other: Iterable[str]) -> dict[str, Tensor]:
    """A state by the names of another module of the same layers, in which a modality's name may stand."""
    return dict(zip(other, state.values(), strict=True))


def _summed_up(
    name: str, steps: Sequence[_OfStep], apart: Mapping[str, Sequence[float]], alike: Mapping[str, Sequence[float]]
) -> TermDiagnosis:
    cosines = [step.cosine for step in steps if step.cosine is not None]
    strength = sum(step.strength for step in steps) / len(steps)
    compares = strength > 0 and name in apart and name in alike
    return TermDiagnosis(
        name=name,
        value=sum(step.value for step in steps) / len(steps),
        weight=sum(step.weight for step in steps) / len(steps),
        strength=strength,
        cosine=sum(cosines) / len(cosines) if cosines else None,
        noise=noise_share(apart[name], alike[name]) if compares else None,
        silent=all(step.silent for step in steps),
        strengths=mean_interval([step.strength for step in steps], 0.0),
        cosines=mean_interval(cosines, -1.0, 1.0) or (Interval(-1.0, 1.0) if cosines else None),
        batches=len(steps),
    )


def noise_share(apart: Sequence[float], alike: Sequence[float]) -> float | None:
    """`TermDiagnosis.noise` from a term's values between modalities (`apart`) and within one (`alike`)."""
    mean = sum(apart) / len(apart)
    if mean > 0:
        return abs(sum(alike)) / len(alike) / mean
    return 1.0 if max(apart) > 0 else None


def mean_interval(values: Sequence[float], lowest: float = -math.inf, highest: float = math.inf) -> Interval | None:
    """Student's interval of the mean of independent values that can't leave `lowest` to `highest`; None below two."""
    n = len(values)
    if n < 2:
        return None
    mean = fmean(values)
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    reach = -float(stdtrit(n - 1, (1 - LEVEL) / 2)) * error
    return Interval(max(mean - reach, lowest), min(mean + reach, highest))
