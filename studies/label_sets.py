"""Do labels that stand for several classes (merged kidneys, no spleen labels) help, against leaving their cases out?

    python studies/label_sets.py --out label_sets                 four arms, one seed, SSC on a small U-Net
    python studies/label_sets.py --out label_sets --seeds 0 1 2 --steps 1500
    python studies/label_sets.py --out label_sets --method supervised --patients 4 --steps 20     a try-out
    python studies/label_sets.py --out label_sets --data abdomen.json --split split.json          scans of your own

An abdomen phantom (CT and T2-weighted MR of different patients; liver, spleen, both kidneys), or scans that you have of
CT and another modality with these four organs, all labeled, resampled to 2.5 mm in plane. Of the training patients
of each modality only `--complete` keep all labels. In the other CT cases nobody looked for the spleen; in the other MR
cases both kidneys are one label. Test cases have all labels. The arms differ in nothing but their training labels:

    complete    every case has all labels: the upper bound
    sets        a label is the set of classes it may be (this package's manifest says so)
    left out    the incomplete cases do not train
    naive       the missing spleen is background, the merged kidneys are the left one

Prints the mean Dice on the test patients of each modality and structure, and the mean over the seeds of all of them.
Runs are kept in --out: the same command goes on where it was stopped.
"""

import argparse
import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from unpaired.data.augment import Augmentation
from unpaired.data.dataset import SPLITS, CaseEntry, Dataset
from unpaired.data.manifest import read_dataset
from unpaired.data.preprocess import Preprocessing
from unpaired.data.split import read_split
from unpaired.inference.jobs import plan
from unpaired.inference.predict import predict_files
from unpaired.inference.predictor import Predictor
from unpaired.methods.method import MethodConfig
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.phantom.write import write_phantom
from unpaired.recipe import Optimization, Recipe
from unpaired.scores.evaluate import evaluate_dataset
from unpaired.training.loop import Hardware, train

ARMS = ("complete", "sets", "left out", "naive")
KIDNEYS = ("left kidney", "right kidney")
METHODS: Mapping[str, MethodConfig] = {
    "supervised": SupervisedConfig(),
    "ssc": SSCConfig(scales=("encoder5", "decoder4", "decoder3")),
}


def recipe(method: str, steps: int, seed: int, preprocessing: Preprocessing) -> Recipe:
    """A small U-Net on axial slices, a norm per modality."""
    return Recipe(
        network=UNetConfig(width=8, widest=128, blocks=(1, 1, 1, 1, 1)),
        method=METHODS[method],
        preprocessing=preprocessing,
        augmentation=Augmentation(noise=0, blur=0, low_resolution=0),
        optimization=Optimization(learning_rate=2e-3, schedule="cosine", warmup_steps=min(50, steps // 4)),
        patch_size=(96, 96),
        batch_size=4,
        steps=steps,
        validate_every=steps,
        save_every=max(steps // 4, 1),
        seed=seed,
        window_overlap=0.25,
    )


def incomplete_cases(dataset: Dataset, complete: int) -> set[str]:
    """The training cases of each modality beyond the first `complete`; the first ones decide the values written."""
    return {case.id for name in dataset.modalities for case in dataset.of(name, "train")[complete:]}


def arm(dataset: Dataset, name: str, complete: int) -> Dataset:
    """The dataset with the training labels of an arm."""
    incomplete = incomplete_cases(dataset, complete)
    maps = dict(dataset.label_maps)
    for modality in dataset.modalities:
        table = dict(dataset.label_map_of(dataset.of(modality)[0]))
        no_spleen = {value: ("background",) if names == ("spleen",) else names for value, names in table.items()}
        kidneys = {"sets": KIDNEYS, "naive": KIDNEYS[:1]}.get(name, KIDNEYS)
        merged = {value: kidneys if names[0] in KIDNEYS else names for value, names in table.items()}
        maps[f"{modality}, incomplete"] = no_spleen if modality == "ct" else merged

    def changed(case: CaseEntry) -> CaseEntry:
        if name == "complete" or case.id not in incomplete:
            return case
        if name == "left out":
            return replace(case, split=None)
        looked_for = tuple(c for c in dataset.classes[1:] if c != "spleen")
        partial = looked_for if case.modality == "ct" and name == "sets" else None
        return replace(case, label_map=f"{case.modality}, incomplete", annotated=partial)

    return replace(dataset, label_maps=maps, cases=tuple(changed(case) for case in dataset.cases))


def scores(dataset: Dataset, name: str, seed: int, arguments: argparse.Namespace) -> dict[tuple[str, str], float]:
    """{(modality, class): mean Dice of the test patients} after training on an arm."""
    kept = f"{arguments.complete}_complete_" if arguments.data else ""
    folder = arguments.out / f"{arguments.method}_{kept}{name.replace(' ', '_')}_{arguments.steps}_{seed}"
    own = Preprocessing(plane="axial", spacing_mm=(None, 2.5, 2.5), roi="body")
    run = train(
        recipe(arguments.method, arguments.steps, seed, own if arguments.data else Preprocessing(plane="axial")),
        arm(dataset, name, arguments.complete),
        folder,
        hardware=Hardware(device=arguments.device, workers=arguments.workers),
        cache=arguments.out / "prepared",
        show=False,
    )
    predict_files(Predictor(run, "last", arguments.device), plan(dataset, run.predictions, split="test"))
    evaluation = evaluate_dataset(dataset, run.predictions, split="test")
    found = {}
    for modality in dataset.modalities:
        for structure in dataset.classes[1:]:
            mean = evaluation.mean("dice", modality, structure).value
            found[modality, structure] = 0.0 if mean is None else mean  # every test patient has every organ
    return found


def scans(arguments: argparse.Namespace) -> Dataset:
    """The dataset with its split; the phantom is written if it isn't there yet."""
    if arguments.data:
        own = read_dataset(arguments.data)
        return read_split(arguments.split).apply(own) if arguments.split else own
    folder = arguments.out / f"abdomen_{arguments.patients}"
    if not (folder / "dataset.json").is_file():
        counts = {"train": arguments.patients, "validation": 1, "test": 6}
        write_phantom(folder, anatomy="abdomen", size="demo", patients=counts, seed=0, workers=arguments.workers)
    return read_dataset(folder)


def main() -> None:
    """Train the arms and print their scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=METHODS, default="ssc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--patients", type=int, default=10, help="training patients of each modality")
    parser.add_argument("--complete", type=int, default=2, help="those of them with all labels")
    parser.add_argument("--arms", choices=ARMS, nargs="+", default=list(ARMS))
    parser.add_argument("--data", type=Path, help="a manifest, for the phantom")
    parser.add_argument("--split", type=Path, help="its split file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    dataset = scans(arguments)
    counts = {side: [f"{len(dataset.of(name, side))} {name}" for name in dataset.modalities] for side in SPLITS}
    trained, tested = " and ".join(counts["train"]), " and ".join(counts["test"])
    print(
        f"{datetime.date.today()}: {arguments.method}, {arguments.steps} steps, {trained} training patients, "
        f"{arguments.complete} of each modality with all labels, seeds {arguments.seeds}"
    )
    print(f"Dice, mean over {tested} test patients (and over the seeds)")
    columns = [(modality, structure) for modality in dataset.modalities for structure in dataset.classes[1:]]
    print(f"{'':10}" + "".join(f"{f'{m} {c}':>17}" for m, c in columns) + f"{'mean':>8}")
    for name in arguments.arms:
        by_seed = [scores(dataset, name, seed, arguments) for seed in arguments.seeds]
        means = {column: fmean(one[column] for one in by_seed) for column in columns}
        cells = "".join(f"{means[column]:17.3f}" for column in columns)
        print(f"{name:10}{cells}{fmean(means.values()):8.3f}", flush=True)


if __name__ == "__main__":
    main()
