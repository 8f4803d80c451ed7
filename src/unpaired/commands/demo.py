"""`unpaired demo`: the whole road once, on a phantom. What is done already is not done again."""

from pathlib import Path
from time import monotonic

from rich.console import Console

from unpaired.data.checks.verify import verify
from unpaired.data.dataset import MANIFEST
from unpaired.data.manifest import read_dataset
from unpaired.inference.jobs import plan
from unpaired.inference.predict import predict_files
from unpaired.inference.predictor import Predictor
from unpaired.phantom.write import write_phantom
from unpaired.recipes import find_recipe
from unpaired.report.page import write_report
from unpaired.scores.evaluate import evaluate_dataset
from unpaired.scores.tables import score_table, write_evaluation
from unpaired.training.loop import Hardware, train


def run_demo(out: Path, *, recipe: str, seed: int, device: str, workers: int) -> int:
    """Phantom, training, prediction, evaluation, report, all below `out`. Returns 0, or 1 if something is missing."""
    console = Console(highlight=False)
    began = monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{monotonic() - began:5.0f} s[/dim]  {text}")

    manifest = out / "data" / MANIFEST
    if not manifest.is_file():
        say("writing the phantom: simulated CT, bSSFP and LGE hearts, different patients in each modality")
        write_phantom(manifest.parent, anatomy="heart", size="demo", seed=seed, workers=workers)
    dataset = read_dataset(manifest)
    findings = verify(dataset, workers=workers)
    scans = f"{len(dataset.cases)} scans of {', '.join(dataset.modalities)} in {manifest.parent}"
    say(f"{scans}; verify: {len(findings)} findings")

    folder = out / "runs" / recipe.split("/")[-1]
    say(f"training {recipe} (Ctrl-C is safe: the same command goes on)")
    run = train(find_recipe(recipe), dataset, folder, name=recipe, hardware=Hardware(device=device, workers=workers))

    say("segmenting the test patients")
    outcome = predict_files(Predictor(run, device=device), plan(run.dataset, run.predictions, split="test"))
    evaluation = evaluate_dataset(run.dataset, run.predictions, split="test", workers=workers)
    write_evaluation(evaluation, run.evaluation)
    page = write_report(run.folder, run.dataset, run.predictions, evaluation, run.report)
    console.print(score_table(evaluation))
    for modality in evaluation.modalities:
        mean = evaluation.mean("dice", modality=modality)
        shown = "nothing scored" if mean.value is None else f"{mean.value:.3f}"
        console.print(f"mean foreground Dice, {modality}: [bold]{shown}[/bold] ({mean.n} structures of test patients)")
    for name, message in outcome.failures:
        console.print(f"failed: {name}: {message}", style="red")
    say("done")
    console.print(f"\nOpen the report: [bold]{page.resolve()}[/bold]", soft_wrap=True)
    console.print('Next, on your own scans: README.md, section "Your data"; all recipes: unpaired recipes')
    return 1 if outcome.failures or evaluation.failures else 0
