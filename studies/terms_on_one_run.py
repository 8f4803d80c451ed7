"""What would the terms of other methods do at the end of a run: is it signal, noise, or louder than the labels?

The network of a finished run of labels alone is put under each method in turn, whose own new parts begin untrained, and
its terms are diagnosed on the run's batches, as `unpaired diagnose` does it with the method that was trained.

    unpaired train class_specific_affinity/small_msbn data/mscmrseg.json runs/msbn --split data/split.json \\
      --set steps=150
    python studies/terms_on_one_run.py runs/msbn

For networks with the layers of `FCNConfig`. Prints a table for each method.
"""

import argparse
from dataclasses import replace

import torch
from rich.console import Console

from unpaired.analyses.diagnosis.computation import diagnose_terms
from unpaired.analyses.diagnosis.tables import diagnosis_table
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.knowledge_distillation import KnowledgeDistillationConfig
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.recipe import build_method
from unpaired.runs.folder import PREPARED
from unpaired.runs.run import Run
from unpaired.training.batches import on_device, unpaired_steps
from unpaired.training.cases import prepared_cases
from unpaired.training.processes import build_fabric

LAYERS, SCALES = (("group4", "group5"),), ("group6", "group5", "group4")
METHODS = {
    "CSA": CSAConfig(weight=0.1, layer_pairs=LAYERS),
    "CSA, cross-fitted": CSAConfig(weight=0.1, layer_pairs=LAYERS, estimate="cross_fitted"),
    "knowledge distillation": KnowledgeDistillationConfig(),
    "SSC": SSCConfig(scales=SCALES),
    "SSC, absent classes left out": SSCConfig(scales=SCALES, absent="skip"),
}


def main() -> None:
    """Ask each method's terms in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a finished run of labels alone")
    parser.add_argument("--batches", type=int, default=8)
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    fabric = build_fabric("cpu", 1, 1, run.recipe.precision)
    cases = prepared_cases(run, run.folder.parent / PREPARED, run.modalities, fabric, 1, Console(quiet=True))
    steps = unpaired_steps(run, cases["train"], fabric)
    count = arguments.batches
    given = [on_device(steps[i * len(steps) // count], run.recipe.randomization, fabric) for i in range(count)]
    weights = run.load_method("last").network.state_dict()
    for name, config in METHODS.items():
        torch.manual_seed(run.recipe.seed)
        method = build_method(replace(run.recipe, method=config), run.modalities, len(run.dataset.classes))
        method.network.load_state_dict(weights)
        print(
            f"{name}:\n{diagnosis_table(diagnose_terms(method, given, 0.99, run.recipe.seed)).markdown()}\n", flush=True
        )


if __name__ == "__main__":
    main()
