"""`unpaired demo`: the whole road once, on a phantom. What is done already is not done again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unpaired.data.checks.verify import verify
from unpaired.data.dataset import MANIFEST
from unpaired.data.manifest import read_dataset
from unpaired.inference.jobs import Outcome
from unpaired.inference.predict import predict
from unpaired.phantom.write import write_phantom
from unpaired.report.page import write_run_page
from unpaired.runs.run import Run
from unpaired.scores.evaluate import evaluate_dataset
from unpaired.scores.scores import Evaluation
from unpaired.scores.tables import score_table, write_evaluation
from unpaired.tables import Table
from unpaired.training.train import train


@dataclass(frozen=True)
class Demo:
    """What the demo made: a run, its predictions and their scores, and the page that shows them."""

    run: Run
    predicted: Outcome
    evaluation: Evaluation
    page: Path

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(case, one line) of those that could not be predicted or scored."""
        return [*self.predicted.failures, *((each.case, each.message) for each in self.evaluation.failures)]

    def table(self) -> Table:
        """The means per modality and class."""
        return score_table(self.evaluation)

    def summary(self) -> list[str]:
        """The mean Dice of each modality, a line each."""
        lines: list[str] = []
        for modality in self.evaluation.modalities:
            mean = self.evaluation.mean("dice", modality=modality)
            shown = "nothing scored" if mean.value is None else f"{mean.value:.3f}"
            lines.append(f"mean foreground Dice, {modality}: {shown} ({mean.n} structures of test patients)")
        return lines


def run_demo(
    out: str | Path = "demo",
    *,
    recipe: str = "phantom/csa",
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Demo:
    """Everything once, on a phantom: make scans, train, predict, evaluate, write a report. A few minutes on two cores.

    out: the folder for data, run, predictions and report; what is there already is not done again.  recipe: the one to
    train, by name.  seed: of the phantom's patients.  device: auto, cpu, cuda or mps.  workers: processes that prepare
    and augment. `say` gets a line for each step. Raises InputError for an unknown recipe or a folder of something else.
    """
    manifest = Path(out) / "data" / MANIFEST
    if not manifest.is_file():
        say("writing the phantom: simulated CT, bSSFP and LGE hearts, different patients in each modality")
        write_phantom(manifest.parent, anatomy="heart", size="demo", seed=seed, workers=workers)
    dataset = read_dataset(manifest)
    findings = verify(dataset, workers=workers)
    scans = f"{len(dataset.cases)} scans of {', '.join(dataset.modalities)} in {manifest.parent}"
    say(f"{scans}; verify: {len(findings)} findings")

    say(f"training {recipe} (Ctrl-C is safe: the same command goes on)")
    run = train(recipe, dataset, Path(out) / "runs" / recipe.split("/")[-1], device=device, workers=workers)

    say("segmenting the test patients")
    predicted = predict(run, run.dataset, run.predictions, split="test", device=device, worker=False)
    evaluation = evaluate_dataset(run.dataset, run.predictions, split="test", workers=workers)
    write_evaluation(evaluation, run.evaluation)
    page = write_run_page(run.folder, run.dataset, run.predictions, evaluation, run.report)
    return Demo(run, predicted, evaluation, page)
