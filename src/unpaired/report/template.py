"""The templates of pages: `base.html.jinja` has head, styles and footer, each kind of page extends it."""

from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from unpaired.data.overwriting import Subject


def render(template: str, about: Subject | None = None, **values: Any) -> str:
    """A page as text, from a template of this folder ("page.html.jinja"); values are escaped.

    `about` is what the page is about, for its head (`data.overwriting`). A value that the template names and that isn't
    given raises jinja2's UndefinedError.
    """
    environment = Environment(
        loader=PackageLoader("unpaired", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=version("unpaired"), mark=about and about.mark, **values)
