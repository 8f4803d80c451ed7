"""Packages that only some people need: whether they are there, and how to get them."""

from importlib.util import find_spec

from unpaired.errors import InputError

EXTRAS = {"onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx", "openvino": "openvino", "ray": "ray"}
"""Which extra of this package installs a package."""


def require_packages(what: str, *names: str) -> None:
    """Raise InputError, with the command that installs it, for the first of these packages that is missing."""
    for name in names:
        if find_spec(name) is None:
            raise InputError(f"{what} needs the package {name}, which is not installed: pip install {_extra(names)}")


def _extra(names: tuple[str, ...]) -> str:
    extras = sorted({EXTRAS[name] for name in names})
    return f"'unpaired[{','.join(extras)}]'"
