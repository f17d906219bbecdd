"""Tells whether Python imports a package for its own sake or for that of a module in it."""

from __future__ import annotations

from traceback import walk_stack

# Functions of the standard library that import a module for somebody, and their name for it.
# The import system has two names: the first one until `importlib` is imported.
IMPORTERS = {
    ('_frozen_importlib', '_find_and_load'): 'name',
    ('importlib._bootstrap', '_find_and_load'): 'name',
    ('runpy', '_get_module_details'): 'mod_name',
}


def imported_part(package: str) -> str:
    """Name the part of a package for which its ``__init__`` is being run.

    Python runs it before any module of the package, and does not say which one is wanted. The calls
    of the import system that are under way do.

    Args:
        package: Name of the package; to be called while it is imported.

    Returns:
        Name in the package of what is imported, or run with ``python -m``, without modules below
        it; empty where that is the package itself.
    """
    for frame, _ in walk_stack(None):
        variable = IMPORTERS.get((frame.f_globals.get('__name__'), frame.f_code.co_name))
        name = frame.f_locals.get(variable, '') if variable else ''
        if name.startswith(f'{package}.'):
            return name.split('.')[package.count('.') + 1]
    return ''
