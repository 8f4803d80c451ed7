"""How much of what CSA takes for a class is of that class? Of labeled training scans, by layer, modality and class.

On the grid of a deep layer a class's region (CSA Eq. 2) is made of cells, each as large as many voxels. For each rule
by which masks come onto that grid (`CSAConfig.mask_resizing`) this says what share of the cells' voxels is of the
class, and how many cells there are in an image (a slice; in 3D a volume) that shows it. "area" weights each cell by its
share. Two layers are compared on the finer grid of both, so a cell of the coarser one stands there several times.

    python studies/affinity_cells.py MANIFEST RECIPE        the layers that the recipe's CSA compares
    python studies/affinity_cells.py MANIFEST RECIPE --split SPLIT --layers encoder3 encoder4 encoder5 \\
      --set 'preprocessing.spacing_mm=[null,1.8,1.8]' --store TABLE    a table of docs/results/affinity-cells.md
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.nn import functional as F

from results_pages import PlainTable, store
from unpaired import __version__, find_recipe, read_dataset
from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.data.prepare import prepare
from unpaired.data.prepared import Prepared
from unpaired.data.split import as_split
from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import CSAConfig, Region, regions
from unpaired.networks.network import Network
from unpaired.recipe import Recipe, build_method, override
from unpaired.tables import DASH, Table

PAGE = "affinity-cells"
RULES = {
    "first voxel": CSAConfig(mask_resizing="nearest", pooling="image"),
    "middle voxel": CSAConfig(mask_resizing="center", pooling="image"),
    "area": CSAConfig(mask_resizing="area", pooling="image"),
}
HEAD = ("layer", "cell mm", "modality", "class", *(f"{rule} %" for rule in RULES), "cells an image")
ALIGN = "lrllr"


@dataclass
class Tally:
    """Of one class by one rule: its cells, their weights, how much of the weights is of the class; images with it."""

    cells: int = 0
    weight: float = 0.0
    of_class: float = 0.0
    images: int = 0


Tallies = defaultdict[tuple[int, str], Tally]
"""By the class's number and the rule."""


def count(label_map: torch.Tensor, label_sets: torch.Tensor, grid: Sequence[int], tallies: Tallies) -> None:
    """Add the foreground classes of label maps (image, *spatial), as they come onto `grid`, to what was counted."""
    batch = Batch(label_map.unsqueeze(1).float(), label_map, label_sets)
    by_rule = {rule: regions(batch, grid, config) for rule, config in RULES.items()}
    for number in range(1, label_sets.shape[1]):
        shares = weights_of(by_rule["area"][number], len(label_map), grid)
        for rule, by_class in by_rule.items():
            weights, tally = weights_of(by_class[number], len(label_map), grid), tallies[number, rule]
            tally.cells += int(weights.count_nonzero())
            tally.weight += float(weights.sum())
            tally.of_class += float(weights @ shares)
            tally.images += len(by_rule["area"][number])


def weights_of(places: Sequence[Region], images: int, grid: Sequence[int]) -> torch.Tensor:
    """The mask of a class on the grid, flattened; 0 where it is not."""
    weights = torch.zeros(images, *grid).flatten()
    for positions, weight in places:
        weights[positions] = 1.0 if weight is None else weight
    return weights


def strides_of(network: Network, layers: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """How many voxels along each axis a cell of each layer has. Raises InputError for a layer that there isn't."""
    network.require_features(layers, "--layers")
    size = [2 * multiple for multiple in network.size_multiples]
    modality = network.modalities[0]
    with torch.no_grad():
        features = network.eval()({modality: torch.zeros(1, network.channels, *size)})[modality].features
    grids = {layer: features[layer].shape[2:] for layer in layers}
    return {layer: tuple(s // n for s, n in zip(size, grid, strict=True)) for layer, grid in grids.items()}


def layers_of(recipe: Recipe) -> list[str]:
    """The layers that a recipe's CSA compares. Raises InputError for one of another method."""
    if not isinstance(recipe.method, CSAConfig):
        raise InputError(
            f"expected a recipe of CSA, got one of {type(recipe.method).__name__}; name layers by --layers"
        )
    return list(dict.fromkeys(layer for pair in recipe.method.layer_pairs for layer in pair))


def prepared(dataset: Dataset, recipe: Recipe, folder: Path) -> Prepared:
    """The labeled training cases on the recipe's grid. Raises InputError where there are none, or one can't be read."""
    training = {case.id for case in dataset.of(split="train", labeled=True)}
    if not training:
        raise InputError(
            f"dataset {dataset.name}: expected labeled training cases, found none; give a split by --split"
        )
    made = prepare(dataset, recipe.preprocessing, folder, only=training)
    for case, reason in made.failures:
        raise InputError(f"{case}: {reason}")
    return made


def measure(dataset: Dataset, recipe: Recipe, layers: Sequence[str], folder: Path) -> Iterator[tuple[str, ...]]:
    """A line of the table for each layer, modality and class that it has."""
    made = prepared(dataset, recipe, folder)
    modalities = list(dict.fromkeys(case.modality for case in made.cases.values()))
    network = build_method(recipe, modalities, len(dataset.classes)).network
    label_sets = torch.zeros(len(made.label_sets), len(dataset.classes), dtype=torch.bool)
    for row, members in enumerate(made.label_sets):
        label_sets[row, list(members)] = True
    for layer, stride in strides_of(network, layers).items():
        for modality in modalities:
            cases = [case for case in made.cases.values() if case.modality == modality]
            tallies = Tallies(Tally)
            for case in cases:
                reference = case.label_map()
                assert reference is not None  # of labeled cases alone
                label_map = torch.from_numpy(np.array(reference))
                images = label_map if recipe.spatial_dims == 2 else label_map.unsqueeze(0)
                missing = [-n % m for n, m in zip(images.shape[1:], network.size_multiples, strict=True)]
                images = F.pad(images, [side for more in reversed(missing) for side in (0, more)])
                count(images, label_sets, [n // s for n, s in zip(images.shape[1:], stride, strict=True)], tallies)
            millimeters = f"{mean(case.spacing_mm[-1] * stride[-1] for case in cases):.1f}"
            for number, name in enumerate(dataset.classes):
                if tallies[number, "area"].images:
                    yield layer, millimeters, modality, name, *cells(tallies, number)


def cells(tallies: Tallies, number: int) -> Iterator[str]:
    """The cells of a table's line: by each rule the share in percent, then how many cells there are in an image."""
    of_rules = [tallies[number, rule] for rule in RULES]
    yield from (f"{100 * of.of_class / of.weight:.0f}" if of.cells else DASH for of in of_rules)
    yield " / ".join(f"{of.cells / of.images:.1f}" for of in of_rules)


def main() -> None:
    """Print a table; exit code 2 and one line for what can't be counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("recipe")
    parser.add_argument("--split", help="a split's file; default: that of the manifest")
    parser.add_argument("--layers", nargs="+")
    parser.add_argument("--set", nargs="+", default=[], dest="changes", metavar="FIELD=VALUE")
    parser.add_argument("--store", metavar="TABLE")
    given = parser.parse_args()
    try:
        recipe = override(find_recipe(given.recipe), given.changes)
        dataset = read_dataset(given.manifest)
        dataset = as_split(given.split).apply(dataset) if given.split else dataset
        with TemporaryDirectory() as folder:
            lines = list(measure(dataset, recipe, given.layers or layers_of(recipe), Path(folder)))
    except InputError as error:
        print(f"affinity_cells: {error}", file=sys.stderr)
        sys.exit(2)
    print(Table(HEAD, lines, ALIGN).markdown(), end="")
    if given.store:
        scans = dataset.of(split="train", labeled=True)
        patients = len({case.patient for case in scans})
        split = f" of {Path(given.split).stem}" if given.split else ""
        budget = (
            f"{' '.join([given.recipe, *given.changes])}; {len(scans)} labeled training scans{split}, {patients} "
            f"patients; unpaired {__version__}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}."
        )
        store(PAGE, given.store, PlainTable(budget, HEAD, tuple(lines), ALIGN), "studies/affinity_cells.py")


if __name__ == "__main__":
    main()
