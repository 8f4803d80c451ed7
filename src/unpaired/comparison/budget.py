"""What the methods of a comparison were trained with: a sentence beside every table, a column of those for programs."""

from collections.abc import Sequence
from pathlib import Path

from unpaired.comparison.contenders import Contender, folder_of
from unpaired.runs.budget import budget_of
from unpaired.runs.facts import read_run_facts


def trained_with(contenders: Sequence[Contender], given: str = "") -> str:
    """ "Budget: 5 minutes a run; MSBN 729 steps (0:05:01 by the clock); steps are not said of nnU-Net."

    `given` is what each run was given, in words, where somebody knows. Empty where nothing is known of any method, as
    of folders of predictions.
    """
    trained = trained_by(contenders)
    known = [f"{name} {budget}" for name, budget in trained.items() if budget]
    unknown = [name for name, budget in trained.items() if not budget]
    if not known and not given:
        return ""
    steps = [", ".join(known)] if known else []
    steps += [f"steps are not said of {', '.join(unknown)}"] if unknown else []
    return f"Budget: {'; '.join([*([given] if given else []), *steps])}."


def trained_by(contenders: Sequence[Contender]) -> dict[str, str]:
    """{method: steps and time of its runs}, see `trained_of`."""
    return {method.name: trained_of(method.places) for method in contenders}


def trained_of(places: Sequence[Path]) -> str:
    """Steps and time of the runs that these paths belong to, "729 steps (0:05:01 by the clock)"; "" where nobody says
    them, as of folders of predictions."""
    folders = dict.fromkeys(folder_of(place) for place in places)
    return budget_of([read_run_facts(folder) for folder in folders if folder.is_dir()])
