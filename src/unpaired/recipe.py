"""Recipe: everything that decides a training run, as one frozen dataclass. A recipe is a function that returns one.

No registry and no YAML: an ablation row is a `dataclasses.replace`. The resolved recipe is written into the run folder
as JSON, each nested config with the dotted name of its class, and read back from there.
"""

import importlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch

from unpaired.data.augment import Augmentation
from unpaired.data.postprocess import Postprocessing
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError, nearest
from unpaired.methods.method import Method, MethodConfig
from unpaired.networks.network import NetworkConfig

OPTIMIZERS = ("adam", "adamw", "sgd")
DECAYED = ("kernels", "all")
SCHEDULES = ("step_decay", "polynomial", "cosine", "constant")
MOVED = {"unpaired.inference.postprocess:Postprocessing": "unpaired.data.postprocess:Postprocessing"}
"""Where classes that stored recipes name are now: runs of earlier versions stay readable."""
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "64-true")


@dataclass(frozen=True)
class Optimization:
    """Optimizer and learning rate as a function of the step. Defaults: CSA section 3 (Adam, 1e-4, x0.95 every 1000)."""

    optimizer: str = "adam"
    learning_rate: float = 1e-4
    schedule: str = "step_decay"
    decay: float = 0.95
    """`step_decay`: factor every `decay_every` steps; `polynomial`: the exponent."""
    decay_every: int = 1000
    warmup_steps: int = 0
    weight_decay: float = 1e-4
    """With adam and sgd it is the L2 term 1e-4 * sum(w^2) / 2 of UMMKD's official code; CSA states none."""
    decayed: str = "kernels"
    """What decays: "kernels" (parameters of two or more axes), as in UMMKD's 2D code, or "all", norms and biases too,
    as in its 3D code and in nnU-Net."""
    momentum: float = 0.99
    """sgd only, with Nesterov."""
    gradient_clip: float | None = None
    """Largest global gradient norm. It couples the networks of row Single, so the paper recipes leave it off."""

    def __post_init__(self) -> None:
        _choice("optimization.optimizer", self.optimizer, OPTIMIZERS)
        _choice("optimization.schedule", self.schedule, SCHEDULES)
        _choice("optimization.decayed", self.decayed, DECAYED)
        _positive("optimization.learning_rate", self.learning_rate)
        _positive("optimization.decay_every", self.decay_every)


@dataclass(frozen=True)
class Recipe:
    """One row of a table: network, method, and how they are trained.

    `patch_size` has two numbers (height, width) for 2D training on slices and three (depth, height, width) for 3D.
    `batch_size` counts images per modality and process. `context_slices` are the neighbors that become channels in 2D.
    """

    network: NetworkConfig
    method: MethodConfig
    patch_size: tuple[int, ...]
    steps: int
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimization: Optimization = field(default_factory=Optimization)
    modalities: tuple[str, ...] | None = None
    """The modalities to train on; None: every modality of the dataset that has labeled training cases."""
    batch_size: int = 8
    unlabeled_batch_size: int = 0
    """Images of unlabeled training cases per modality, step and process; 0: unlabeled cases take no part."""
    context_slices: int = 1
    foreground_share: float = 0.5
    """The share of samples that are centered on a foreground voxel, its class drawn evenly among those present."""
    accumulate: int = 1
    """Batches whose gradients are added up before one optimizer step."""
    window_overlap: float = 0.5
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    norm_batches: int = 0
    """Before each validation batch norm's running statistics are taken anew over so many training batches, dropout off
    (`training.norm_statistics`): with dropout the trailing ones are those of another network. 0 keeps the trailing
    ones, as the papers' code does."""
    validate_every: int = 1000
    save_every: int = 500
    precision: str = "32-true"
    seed: int = 0
    init_from: str | None = None
    """A finished run whose network weights are the start."""

    def __post_init__(self) -> None:
        if len(self.patch_size) not in (2, 3) or min(self.patch_size) < 1:
            raise InputError(
                f"recipe.patch_size must be (height, width) or (depth, height, width), got {self.patch_size}"
            )
        if (
            self.context_slices % 2 == 0
            or self.context_slices < 1
            or (len(self.patch_size) == 3 and self.context_slices > 1)
        ):
            raise InputError(f"recipe.context_slices must be odd, and 1 in 3D; got {self.context_slices}")
        if len(self.patch_size) == 2 and "depth" in self.augmentation.mirror:
            raise InputError("recipe.augmentation.mirror: slices have no depth to mirror; name height or width")
        if not 0 <= self.foreground_share <= 1:
            raise InputError(f"recipe.foreground_share must lie in [0, 1], got {self.foreground_share}")
        if not 0 <= self.window_overlap < 1:
            raise InputError(f"recipe.window_overlap must lie in [0, 1), got {self.window_overlap}")
        for name in ("steps", "batch_size", "accumulate", "validate_every", "save_every"):
            _positive(f"recipe.{name}", getattr(self, name))
        for name in ("norm_batches", "unlabeled_batch_size"):
            if getattr(self, name) < 0:
                raise InputError(f"recipe.{name} must be 0 or more, got {getattr(self, name)}")
        if self.unlabeled_batch_size and self.preprocessing.leaks_reference:
            raise InputError(
                "recipe.unlabeled_batch_size: preprocessing.roi 'label' crops around a reference, which unlabeled "
                "cases lack; set preprocessing.roi to body or center"
            )
        _choice("recipe.precision", self.precision, PRECISIONS)

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


def to_json(config: Any) -> Any:
    """A recipe or any part of it as JSON values; dataclasses carry their class under "type"."""
    if is_dataclass(config) and not isinstance(config, type):
        name = f"{type(config).__module__}:{type(config).__qualname__}"
        return {"type": name, **{part.name: to_json(getattr(config, part.name)) for part in fields(config)}}
    if isinstance(config, list | tuple):
        return [to_json(item) for item in config]
    if isinstance(config, Mapping):
        return {str(key): to_json(value) for key, value in config.items()}
    return config


def from_json(document: Any, where: str = "recipe") -> Any:
    """Back from `to_json`. Only config dataclasses are built; lists become tuples."""
    if isinstance(document, list):
        return tuple(from_json(item, where) for item in document)
    if not isinstance(document, Mapping):
        return document
    if "type" not in document:
        return {key: from_json(value, f"{where}.{key}") for key, value in document.items()}
    config_class = _config_class(str(document["type"]), where)
    known = {part.name for part in fields(config_class)}
    unknown = sorted(set(document) - known - {"type"})
    if unknown:
        raise InputError(f"{where}: {config_class.__name__} has no field {unknown[0]!r} in this version of unpaired")
    values = {key: from_json(value, f"{where}.{key}") for key, value in document.items() if key != "type"}
    hints = typing.get_type_hints(config_class)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            raise InputError(f"{where}.{key}: expected {_type_name(hints[key])}, got {value!r}")
    try:
        return config_class(**values)
    except TypeError as error:
        raise InputError(f"{where}: {config_class.__name__} can't be built from the stored fields: {error}") from error


def dumps(recipe: Recipe) -> str:
    """The recipe as indented JSON text."""
    return json.dumps(to_json(recipe), indent=1) + "\n"


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """The recipe with fields replaced, each given as "network.width=8" (values in JSON; bare words are strings).

    Raises InputError for a field that doesn't exist (naming the near one) or a value of another type.
    """
    tree = _Changes()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set expects FIELD=VALUE such as network.width=8, got {assignment!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = {"None": None, "True": True, "False": False}.get(text, text)
        _plant(recipe, tree, path.strip(), _freeze(value))
    return _grown(recipe, tree)


class _Changes(dict[str, Any]):
    """{field: new value, or the changes of the config in it}; a type of its own, as values may be dictionaries."""


def _plant(recipe: Recipe, tree: _Changes, whole: str, value: Any) -> None:
    """Put a checked value at "network.width" of {"network": {"width": value}}."""
    config: Any = recipe
    *outer, last = whole.split(".")
    for place, name in enumerate([*outer, last]):
        names = [part.name for part in fields(config)]
        if name not in names:
            raise InputError(f"--set {whole}: {type(config).__name__} has no field {name!r}; {nearest(name, names)}")
        if place == len(outer):
            break
        inner = getattr(config, name)
        if not is_dataclass(inner):
            rest = whole.split(".")[place + 1]
            raise InputError(
                f"--set {whole}: {type(config).__name__}.{name} is a plain value, it has no field {rest!r}"
            )
        if not isinstance(tree.get(name), _Changes):
            tree[name] = _Changes()
        config, tree = inner, tree[name]
    expected = typing.get_type_hints(type(config))[last]
    if not _fits(value, expected):
        raise InputError(f"--set {whole}: expected {_type_name(expected)}, got {value!r}")
    tree[last] = float(value) if expected is float and isinstance(value, int) else value


def _grown(config: Any, tree: _Changes) -> Any:
    """The config with a tree of values in it, each part replaced once: what it checks is all of them together."""
    changes = {
        name: _grown(getattr(config, name), value) if isinstance(value, _Changes) else value
        for name, value in tree.items()
    }
    return replace(config, **changes)


def _fits(value: Any, expected: Any) -> bool:
    """Whether a JSON value may stand in a field of this type; a config's own checks look closer."""
    origin = typing.get_origin(expected)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(expected))
    if origin is typing.Literal:
        return value in typing.get_args(expected)
    if origin is tuple:
        return isinstance(value, tuple)
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, expected) if isinstance(expected, type) else True


def _type_name(expected: Any) -> str:
    return expected.__name__ if isinstance(expected, type) else str(expected)


def _freeze(value: Any) -> Any:
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


def _config_class(name: str, where: str) -> type:
    module_name, _, class_name = MOVED.get(name, name).partition(":")
    try:
        config_class: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{where}: {name} can't be imported here; run from the folder that holds {module_name}, "
            "or with the version of unpaired that wrote this run"
        ) from error
    for part in class_name.split("."):
        config_class = getattr(config_class, part, None)
    allowed = (NetworkConfig, MethodConfig, Recipe, Optimization, Preprocessing, Postprocessing, Augmentation)
    if not (isinstance(config_class, type) and is_dataclass(config_class)):
        raise InputError(f"{where}: {name} is no config class of this version of unpaired")
    if not (issubclass(config_class, allowed) or module_name.startswith("unpaired.")):
        raise InputError(f"{where}: {name} is not a recipe, network, method or one of their parts")
    return config_class


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}; {nearest(str(value), list(allowed))}")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{name} must be above 0, got {value}")
