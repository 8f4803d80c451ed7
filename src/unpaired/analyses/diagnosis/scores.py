"""What a diagnosis means: one word and a line of plain advice for each term."""

from itertools import product

from unpaired.analyses.diagnosis.computation import SUPERVISED, TermDiagnosis
from unpaired.statistics import Interval

INERT = 0.01
"""A gradient below this share of the supervised one moves nothing beside it."""
LOUD = 0.1
"""A gradient that is at least this share against the supervised one undoes some of it."""
AGAINST = -0.3
"""A cosine below this is against it."""
LOUDEST = 1.0
"""A gradient above this is longer than the supervised one."""
ALONG = 0.5
"""With at least this cosine a long gradient is still one that goes with the labels."""
WITH = 0.1
"""A cosine above this goes with the labels, one below its negative against them; what lies between does neither."""
NOISE = 0.75
"""A term that has this share of its value between two batches of one modality measures sampling noise."""
ALIKE = ({"inert", "noise"}, {"fights supervision", "outweighs supervision", "against the labels"})
"""Verdicts that come to the same: leave it out, lower its weight. Which of them it is may stay open."""

ADVICE = {
    "supervised": "what the others are measured against",
    "off": "it has no weight in the loss at this point of training: a ramp that has not begun, or a weight of 0",
    "silent": "it trains nothing on these batches: a teacher is sure of nothing yet, or what it compares is alike",
    "elsewhere": "it reaches no weight that the modalities share: it trains parts of a modality, or of the method",
    "inert": "{size}: it trains next to nothing; {choice}",
    "fights supervision": "{size}: it undoes what the labels teach; lower its weight, or let it begin later",
    "outweighs supervision": "{size}: the labels are the smaller part of what trains here; hold it against the labels "
    "alone on validation, and lower its weight where it loses",
    "noise": "two batches of one modality have {noise} of it: it mostly measures which cases were drawn; take larger "
    "batches, a form of it without that noise, or leave it out",
    "against the labels": "{size}: it undoes some of what the labels teach; lower its weight, or begin later",
    "beside the labels": "{size}{signal}: it goes neither with the labels nor against them; whether it helps, "
    "validation says",
    "useful": "{size}{signal}: it goes with the labels and may help; whether it does, validation says",
    "unclear": "{size}: {batches} batches leave open whether it is {possible}; look at more (--batches)",
}
"""What to say of each verdict."""


def verdict(term: TermDiagnosis) -> str:
    """The first that is true: "supervised", "off", "silent", "elsewhere", "inert", "fights supervision",
    "outweighs supervision", "noise", "against the labels", "beside the labels", "useful"; "unclear" where the intervals
    of its strength and cosine leave open which, and it matters (`ALIKE`)."""
    possible = verdicts(term)
    alike = len(possible) == 1 or any(set(possible) <= group for group in ALIKE)
    return possible[0] if alike else "unclear"


def verdicts(term: TermDiagnosis) -> list[str]:
    """The verdicts that strength and cosine may have, anywhere in their intervals; first that of their means."""
    if term.name in SUPERVISED:
        return ["supervised"]
    if term.weight == 0:
        return ["off"]
    if term.strength == 0:
        return ["silent" if term.silent else "elsewhere"]
    strengths, cosines = _range(term.strength, term.strengths), _range(term.cosine or 0.0, term.cosines)
    return list(dict.fromkeys(_verdict(*numbers, term.noise or 0.0) for numbers in product(strengths, cosines)))


def _range(mean: float, interval: Interval | None) -> list[float]:
    return [mean] if interval is None else [mean, interval.low, interval.high]


def _verdict(strength: float, cosine: float, noise: float) -> str:
    """Of numbers that are known."""
    if strength < INERT:
        return "inert"
    if cosine < AGAINST and strength >= LOUD:
        return "fights supervision"
    if cosine < ALONG and strength > LOUDEST:
        return "outweighs supervision"
    if noise >= NOISE:
        return "noise"
    if cosine < -WITH:
        return "against the labels"
    return "useful" if cosine > WITH else "beside the labels"


def advice(term: TermDiagnosis) -> str:
    """A sentence on what the numbers of a term say, and what to try."""
    against = "" if term.cosine is None else f", cosine {cosine_text(term)}"
    noise = "" if term.noise is None else f"{term.noise:.0%}"
    loud = term.noise is not None and term.noise >= NOISE
    return ADVICE[verdict(term)].format(
        size=f"its gradient is {strength_text(term)} of the supervised one{against}",
        signal="" if term.noise is None else f"; {1 - term.noise:.0%} of it is a difference of modalities",
        noise=noise,
        choice=f"and {noise} of it is noise: leave it out" if loud else "raise its weight, or leave it out",
        batches=term.batches,
        possible=" or ".join(f"{word!r}" for word in verdicts(term)),
    )


def strength_text(term: TermDiagnosis) -> str:
    """The size of its gradient, with the interval: "0.05 (0.02 to 0.08)"."""
    return _with_interval(f"{term.strength:.3g}", term.strengths, ".2g")


def cosine_text(term: TermDiagnosis) -> str:
    """ "-0.18 (-1.00 to +0.61)"; "" where there is none."""
    return "" if term.cosine is None else _with_interval(f"{term.cosine:+.2f}", term.cosines, "+.2f")


def _with_interval(text: str, interval: Interval | None, form: str) -> str:
    return text if interval is None else f"{text} ({interval.low:{form}} to {interval.high:{form}})"
