"""A run as a folder for other programs: a graph for each modality, and all that leads from a scan to its label map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from unpaired.choices import several
from unpaired.consent.modules import Trust
from unpaired.errors import InputError
from unpaired.export.bundle import MODELS, STANDALONE, write_bundle
from unpaired.export.facts import FACTS, exported_modalities, model_facts
from unpaired.export.folder import new_folder
from unpaired.export.formats import SUFFIXES, Format, require_format, write_graph
from unpaired.export.readme import README
from unpaired.files import write_json
from unpaired.inference.backends.segmenter import disagreement
from unpaired.methods.method import Method
from unpaired.networks.one_modality import one_modality, trace
from unpaired.runs.run import Run

SCRIPTS = ("predict.py", "pipeline.py", "components.py", "probabilities.py", "turns.py")


@dataclass(frozen=True)
class Exported:
    """What `export_run` wrote: the folder, and {modality: its graph's file in it}."""

    folder: Path
    graphs: dict[str, Path]


def export_run(
    run: Run | str | Path,
    out: str | Path,
    format: Format = "onnx",
    *,
    weights: str = "best",
    modalities: Sequence[str] = (),
    any_size: bool = False,
    trust: Trust = (),
) -> Exported:
    """Write a run's network into the new folder `out`, a graph per modality, for programs that lack this package.

    `format`: "onnx" (with a script that predicts by numpy and ONNX Runtime alone), "torch" (a `torch.export` program),
    "openvino", or "monai-bundle" (torch programs, with configs and scripts for MONAI). A graph takes one image
    (1, channel, *patch) and returns logits (1, class, *patch); with `any_size` other sizes too, where the network
    allows that. `modalities` are all of the run's if none is named. `model.json` says how a scan is prepared and
    restored. Every file is computed once and compared with torch before it is there.

    Raises InputError if `out` holds anything, if a package for the format is missing, for a modality that the run
    doesn't know, a network that can't be written as a graph, and a run whose crop needs the reference.
    """
    require_format(format)
    run = run if isinstance(run, Run) else Run.open(run, trust)
    chosen = exported_modalities(run, several(modalities))
    method = run.load_method(weights)
    place = f"{MODELS}/" if format == "monai-bundle" else ""
    graphs = {name: f"{place}{name}{SUFFIXES[format]}" for name in chosen}
    with new_folder(Path(out)) as folder:
        (folder / place).mkdir(exist_ok=True)
        for name, file in graphs.items():
            write_checked(method, run, name, format, folder / file, any_size)
        facts = model_facts(run, weights, graphs, any_size)
        if format == "monai-bundle":
            write_bundle(folder, facts)
        else:
            write_json(folder / FACTS, facts)
        for script in SCRIPTS if format == "onnx" else ():
            (folder / script).write_bytes((STANDALONE / script).read_bytes())
        readme = "docs/README.md" if format == "monai-bundle" else "README.txt"
        (folder / readme).write_text(README[format].format(**facts, first=chosen[0]), encoding="utf-8")
    return Exported(Path(out), {name: Path(out) / file for name, file in graphs.items()})


def write_checked(method: Method, run: Run, modality: str, format: Format, path: Path, any_size: bool) -> None:
    """Write one modality's graph and compare what it says of an image with torch. Raises InputError if they differ."""
    recipe = run.recipe
    program = trace(one_modality(method.network, modality), recipe.patch_size, recipe.channels, any_size=any_size)
    engine = write_graph(format, program, path)
    shapes = [recipe.patch_size, *([[2 * size for size in recipe.patch_size]] if any_size else [])]
    for shape in shapes:
        images = torch.randn(1, recipe.channels, *shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected = method.predict(images, modality).numpy()
        if difference := disagreement(expected, engine(images.numpy())):
            raise InputError(f"the {format} graph of {modality} is not the network: {difference}; use another format")
