"""Every method of the package, found by looking through its folder, so that a test of all forgets no new one."""

import importlib
import inspect
import pkgutil
from dataclasses import fields, replace

import unpaired.methods
from unpaired.methods.method import MethodConfig
from unpaired.methods.supervised import SupervisedConfig

LAYERS = {"layer_pairs": (("encoder1", "encoder2"),), "scales": ("encoder2", "encoder1"), "layer": "encoder2"}
"""Feature maps of a U-Net of two stages, for the fields by which methods pick theirs."""
LATE = 0.95
"""Progress at which every ramp is up."""


def method_configs() -> dict[str, MethodConfig]:
    """{name: config}, each with its defaults on the feature maps of `LAYERS`.

    A method that wraps another wraps the supervised one; a released code is there with its defects and `mended`.
    """
    configs: dict[str, MethodConfig] = {}
    for module in pkgutil.iter_modules(unpaired.methods.__path__, "unpaired.methods."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if not (inspect.isclass(value) and issubclass(value, MethodConfig)) or inspect.isabstract(value):
                continue
            names = {part.name for part in fields(value)}
            layers = {field: layers for field, layers in LAYERS.items() if field in names}
            inner = {"method": SupervisedConfig()} if "method" in names else {}
            sure = {"confidence": 0.0} if "confidence" in names else {}  # a network that has not learned is never sure
            configs[name] = value(**inner, **layers, **sure)
            if hasattr(value, "mended"):
                configs[f"{name}.mended"] = replace(value.mended(), **layers)
    return configs


CONFIGS = method_configs()
