"""What the methods of a comparison were trained with: a sentence that stands beside every table."""

from collections.abc import Sequence

from unpaired.comparison.contenders import Contender, folder_of
from unpaired.runs.budget import budget_of
from unpaired.runs.facts import read_run_facts


def trained_with(contenders: Sequence[Contender], given: str = "") -> str:
    """ "Budget: 5 minutes a run; MSBN 729 steps (0:05:01 by the clock); steps are not said of nnU-Net."

    `given` is what each run was given, in words, where somebody knows. Empty where nothing is known of any method, as
    of folders of predictions.
    """
    trained = {method.name: _of(method) for method in contenders}
    known = [f"{name} {budget}" for name, budget in trained.items() if budget]
    unknown = [name for name, budget in trained.items() if not budget]
    if not known and not given:
        return ""
    steps = [", ".join(known)] if known else []
    steps += [f"steps are not said of {', '.join(unknown)}"] if unknown else []
    return f"Budget: {'; '.join([*([given] if given else []), *steps])}."


def _of(method: Contender) -> str:
    folders = dict.fromkeys(folder_of(place) for place in method.places)
    return budget_of([read_run_facts(folder) for folder in folders if folder.is_dir()])
