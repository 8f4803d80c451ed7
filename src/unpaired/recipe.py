"""Recipe: everything that decides a training run, as one frozen dataclass. A recipe is a function that returns one.

No registry and no YAML: an ablation row is a `dataclasses.replace`. The resolved recipe is written into the run folder
as JSON, each nested config with the dotted name of its class, and read back from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Annotated, Literal

import torch
from msgspec import Meta

from unpaired import overrides
from unpaired.configs import (
    Angles,
    Config,
    Count,
    Name,
    Names,
    NotNegative,
    Overlap,
    Positive,
    Share,
    Size,
    Whole,
    Width,
    dumps,
    from_json,
    to_json,
)
from unpaired.consent.modules import Trust
from unpaired.data.augment import Augmentation
from unpaired.data.postprocess import Postprocessing
from unpaired.data.preprocess import Preprocessing
from unpaired.data.randomization import Randomization
from unpaired.errors import InputError
from unpaired.files import read_json
from unpaired.methods.method import Method, MethodConfig
from unpaired.networks.network import NetworkConfig
from unpaired.overrides import Changes, assignments

__all__ = ["Optimization", "Recipe", "build_method", "dumps", "from_json", "override", "read_recipe", "to_json"]

DAMAGED = "restore the file or train anew"
"""What to do about a file of a run that can't be read."""
BUDGET = {
    "steps",
    "seed",
    "batch_size",
    "accumulate",
    "patch_size",
    "window_overlap",
    "validate_every",
    "save_every",
    "precision",
    "memory_format",
    "init_from",
    "network.pretrained",
    "optimization.warmup_steps",
    "optimization.decay_every",
}
"""What a recipe may change and still be its row of a paper: how much and how long it computes, and where files lie."""
Precision = Literal["32-true", "16-mixed", "bf16-mixed", "64-true"]
MemoryFormat = Literal["contiguous", "channels_last", "auto"]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1, description="a whole number of 0 or more, below 2^63")]


@dataclass(frozen=True)
class Optimization(Config):
    """Optimizer and learning rate as a function of the step. Defaults: CSA section 3 (Adam, 1e-4, x0.95 every 1000)."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Positive = 1e-4
    schedule: Literal["step_decay", "polynomial", "cosine", "constant"] = "step_decay"
    decay: NotNegative = 0.95
    """`step_decay`: factor every `decay_every` steps; `polynomial`: the exponent."""
    decay_every: Count = 1000
    warmup_steps: Whole = 0
    weight_decay: NotNegative = 1e-4
    """With adam and sgd it is the L2 term 1e-4 * sum(w^2) / 2 of UMMKD's official code; CSA states none."""
    decayed: Literal["kernels", "all"] = "kernels"
    """What decays: "kernels" (parameters of two or more axes), as in UMMKD's 2D code, or "all", norms and biases too,
    as in its 3D code and in nnU-Net."""
    momentum: Share = 0.99
    """Momentum (Nesterov's) of sgd; adam and adamw take none."""
    gradient_clip: Positive | None = None
    """Largest global gradient norm. It couples the networks of row Single, so the paper recipes leave it off."""


@dataclass(frozen=True)
class Recipe(Config):
    """One row of a table: network, method, and how they are trained.

    `patch_size` has two numbers (height, width) for 2D training on slices and three (depth, height, width) for 3D.
    `batch_size` counts images per modality and process. `context_slices` are the neighbors that become channels in 2D.
    """

    network: NetworkConfig
    method: MethodConfig
    patch_size: Size
    steps: Count
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    augmentation: Augmentation = field(default_factory=Augmentation)
    randomization: Randomization = field(default_factory=Randomization)
    optimization: Optimization = field(default_factory=Optimization)
    modalities: Names | None = None
    """The modalities to train on; None: every modality of the dataset that has labeled training cases, and with
    `randomization.borrowed` every one that has cases."""
    batch_size: Count = 8
    unlabeled_batch_size: Whole = 0
    """Images of unlabeled training cases per modality, step and process; 0: unlabeled cases take no part."""
    context_slices: Width = 1
    foreground_share: Share = 0.5
    """The share of samples that are centered on a foreground voxel, its class drawn evenly among those present."""
    rare_classes: Share = 0.0
    """How much more often labeled cases are drawn whose rarest class few others label (`data.sampling`): 0 draws all
    alike, 1 shows every class about equally often. For partly annotated datasets and rare structures."""
    simulated_share: Share = 0.5
    """Of a modality's labeled samples, how many may be of simulated scans where patients are labeled too: these are
    drawn so many times that about that share is simulated, or less. 1 draws all cases alike."""
    accumulate: Count = 1
    """Batches whose gradients are added up before one optimizer step."""
    window_overlap: Overlap = 0.5
    turned_degrees: Angles = ()
    """Angles by which prediction segments scans turned in their slices too, both ways; the probabilities are averaged.
    At most `augmentation.rotation_degrees`; one angle takes three times as long."""
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    norm_batches: Whole = 0
    """Over so many training batches, dropout off, batch norm's running statistics are taken anew before each validation
    (`networks.norm_statistics`): with dropout the trailing ones are those of another network. A modality that
    borrows has its own images alone for it, if some are unlabeled. 0 keeps the trailing ones, as the papers' code
    does."""
    validate_every: Count = 1000
    save_every: Count = 500
    precision: Precision = "32-true"
    memory_format: MemoryFormat = "contiguous"
    """How images and weights lie in memory while training; only speed and rounding depend on it. "auto" times a few
    steps of both when training begins, and keeps to the faster one in that run."""
    seed: Seed = 0
    init_from: Name | None = None
    """A finished run whose network weights are the start. The network may have whole parts and modalities more."""
    begin_as: Name | None = None
    """The modality of `init_from`'s run whose norms, and whatever else is a modality's own, those that it lacks begin
    with; None: fresh ones."""
    trained: Literal["all", "new_modalities"] = "all"
    """"new_modalities": only what belongs to modalities that `init_from`'s run lacks, on their cases alone; all that
    the run had stays as it is, bit by bit (Karani et al., MICCAI 2018)."""
    paper_row: str | None = None
    """The row of a paper's table that this is, as `unpaired compare --paper` calls it ("MSBN", "V3 + CR"); what is not
    as in that row stands in brackets ("CSA (literal)"). None: of no table. `override` adds the brackets by itself;
    `dataclasses.replace` doesn't: a recipe made of another one's says its own row, or None."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.modalities or ())) < len(self.modalities or ()):
            raise InputError(f"Recipe.modalities: expected each modality once, got {self.modalities}")
        if self.context_slices % 2 == 0 or (len(self.patch_size) == 3 and self.context_slices > 1):
            raise InputError(f"Recipe.context_slices: expected an odd number, and 1 in 3D; got {self.context_slices}")
        if self.init_from is None and (self.begin_as is not None or self.trained != "all"):
            raise InputError(
                "recipe.begin_as and recipe.trained say what becomes of an earlier run; name it in recipe.init_from"
            )
        if len(self.patch_size) == 2 and "depth" in self.augmentation.mirror:
            raise InputError("recipe.augmentation.mirror: slices have no depth to mirror; name height or width")
        self.augmentation.require_sides(self.preprocessing.plane)
        if max(self.turned_degrees, default=0.0) > self.augmentation.rotation_degrees:
            raise InputError(
                f"recipe.turned_degrees: expected at most augmentation.rotation_degrees, "
                f"{self.augmentation.rotation_degrees:g}, since slices turned further are strange to the network; got "
                f"{max(self.turned_degrees):g}"
            )
        if self.unlabeled_batch_size and self.preprocessing.leaks_reference:
            raise InputError(
                "recipe.unlabeled_batch_size: preprocessing.roi 'label' crops around a reference, which unlabeled "
                "cases lack; set preprocessing.roi to body or center"
            )

    @property
    def spatial_dims(self) -> int:
        """2 for slices, 3 for volumes."""
        return len(self.patch_size)

    @property
    def channels(self) -> int:
        """Input channels of the network."""
        return self.context_slices


def build_method(recipe: Recipe, modalities: Sequence[str], classes: int) -> Method:
    """The recipe's method around its network, fresh weights drawn from the recipe's seed.

    torch's global random state is left as it was.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        network = recipe.network.build(modalities, recipe.channels, classes, recipe.spatial_dims)
        if any(size % multiple for size, multiple in zip(recipe.patch_size, network.size_multiples, strict=True)):
            raise InputError(
                f"recipe.patch_size {recipe.patch_size}: sizes must be multiples of {network.size_multiples} "
                f"for {type(recipe.network).__name__}"
            )
        return recipe.method.build(network, classes)


def override(recipe: Recipe, changes: Changes) -> Recipe:
    """The recipe with fields replaced as `overrides.override` does it, and its `paper_row` as true as before.

    A change of budget (`BUDGET`) keeps the row. Any other is named behind it: "CSA (network.width=8)".
    """
    texts = assignments(changes)
    changed = overrides.override(recipe, texts)
    values = {name.strip(): value.strip() for name, _, value in (text.partition("=") for text in texts)}
    if recipe.paper_row is None or "paper_row" in values:
        return changed
    other = {
        name: value
        for name, value in values.items()
        if name not in BUDGET and _value_at(recipe, name) != _value_at(changed, name)
    }
    return replace(changed, paper_row=_changed_row(recipe.paper_row, other))


def read_recipe(path: Path, trust: Trust = ()) -> Recipe:
    """The recipe stored in a JSON file. Raises InputError if it holds none, `ConsentError` for code not in `trust`."""
    recipe = from_json(read_json(path, DAMAGED), str(path), trust)
    if not isinstance(recipe, Recipe):
        raise InputError(f"{path} holds no recipe; {DAMAGED}")
    return recipe


def _changed_row(row: str, changes: Mapping[str, str]) -> str:
    """A paper's row and the fields that are not as in it: "CSA (method.weight=0.5)"."""
    if not changes:
        return row
    name, _, before = row.removesuffix(")").partition(" (")
    parts = [*([before] if before else []), *(f"{field}={value}" for field, value in changes.items())]
    return f"{name} ({', '.join(parts)})"


def _value_at(config: Config, path: str) -> object:
    """The value of a field such as "network.width"."""
    return reduce(getattr, path.split("."), config)
