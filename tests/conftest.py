"""Check the shapes in every signature while tests run (jaxtyping + beartype)."""

from jaxtyping import install_import_hook

install_import_hook("unpaired", "beartype.beartype")
