"""Pages from templates: one file each, without scripts and with nothing to load; what is filled in is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, values: Mapping[str, object], *folders: Path) -> str:
    """Fill in a template.

    Parameters
    ----------
    template : str
        File name; it may extend ``base.html``, which wants a `title`.
    values : mapping
        What the template names; a name that is missing is an error.
    folders : Path
        Where else templates lie, searched first.

    Returns
    -------
    str
        The page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)
