"""What a diagnosis means: one word and a line of plain advice for each term."""

from unpaired.studies.diagnosis.computation import SUPERVISED, TermDiagnosis

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
NOISE = 0.75
"""A term that has this share of its value between two batches of one modality measures sampling noise."""


def verdict(term: TermDiagnosis) -> str:
    """The first that is true: "supervised", "off", "silent", "elsewhere", "inert", "fights supervision",
    "outweighs supervision", "noise", "useful"."""
    if term.name in SUPERVISED:
        return "supervised"
    if term.weight == 0:
        return "off"
    if term.strength == 0:
        return "silent" if term.silent else "elsewhere"
    if term.strength < INERT:
        return "inert"
    if term.cosine is not None and term.cosine < AGAINST and term.strength >= LOUD:
        return "fights supervision"
    if term.cosine is not None and term.cosine < ALONG and term.strength > LOUDEST:
        return "outweighs supervision"
    if term.noise is not None and term.noise >= NOISE:
        return "noise"
    return "useful"


def advice(term: TermDiagnosis) -> str:
    """A sentence on what the numbers of a term say, and what to try."""
    against = "" if term.cosine is None else f", cosine {term.cosine:+.2f}"
    size = f"its gradient is {term.strength:.3g} of the supervised one{against}"
    match verdict(term):
        case "supervised":
            return "what the others are measured against"
        case "off":
            return "it has no weight in the loss at this point of training: a ramp that has not begun, or a weight of 0"
        case "silent":
            return "it trains nothing on these batches: a teacher is sure of nothing yet, or what it compares is alike"
        case "elsewhere":
            return "it reaches no weight that the modalities share: it trains parts of a modality, or of the method"
        case "inert":
            loud = term.noise is not None and term.noise >= NOISE
            choice = (
                f"and {term.noise:.0%} of it is noise: leave it out" if loud else "raise its weight, or leave it out"
            )
            return f"{size}: it trains next to nothing; {choice}"
        case "fights supervision":
            return f"{size}: it undoes what the labels teach; lower its weight, or let it begin later"
        case "outweighs supervision":
            return f"{size}: the labels are the smaller part of what trains here; lower its weight"
        case "noise":
            return (
                f"two batches of one modality have {term.noise:.0%} of it: it mostly measures which cases were drawn; "
                "take larger batches, a form of it without that noise, or leave it out"
            )
        case _:
            signal = "" if term.noise is None else f"; {1 - term.noise:.0%} of it is a difference of modalities"
            return f"{size}{signal}: it may help; whether it does, validation says"
