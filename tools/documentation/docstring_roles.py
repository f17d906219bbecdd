"""Griffe extension: the Sphinx roles of docstrings become links of the API reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r':(?:class|func|meth|mod|attr):`~?([\w.]+)`')


def full_path(name: str, obj: griffe.Object) -> str:
    """Return the path of what a docstring of ``obj`` calls ``name``."""
    if name.startswith('.'):
        return f'{obj.module.path.rpartition(".")[0]}{name}'
    try:
        return obj.resolve(name)
    except griffe.NameResolutionError:
        return name  # full already, or of another package


class DocstringRoles(griffe.Extension):
    """Translates the roles in every docstring of a package once all of it is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one docstring; a role becomes a link where the reference has its object."""
        if obj.docstring is None:
            return

        def link(match: re.Match) -> str:
            path = full_path(match[1], obj)
            name = path.rpartition('.')[2]
            return f'<autoref identifier="{path}" optional><code>{name}</code></autoref>'

        obj.docstring.value = ROLE.sub(link, obj.docstring.value)
