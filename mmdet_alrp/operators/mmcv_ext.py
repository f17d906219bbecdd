"""mmcv's operators on torchvision, put here by `python -m mmdet_alrp operators`.

They stay in mmdet_alrp and are read from there without importing it, which would register its
parts while mmcv is half imported.
"""

import sys
from importlib import import_module, util
from pathlib import Path

NAME = 'mmdet_alrp_operators'


def load_operators():
    """Import the folder `mmdet_alrp/operators` as a package of its own; return its lookup."""
    found = util.find_spec('mmdet_alrp')
    folders = (found.submodule_search_locations if found else None) or ()
    files = [Path(folder, 'operators', '__init__.py') for folder in folders]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ImportError(
            'mmcv takes its operators from mmdet_alrp, which is no longer installed: install '
            f'mmdet_alrp again, or delete {__file__} and install an mmcv with compiled operators'
        )
    spec = util.spec_from_file_location(NAME, file)
    sys.modules[NAME] = util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
    try:
        return import_module(NAME + '.lookup')
    except Exception as error:  # torchvision raises RuntimeError where it does not fit torch
        raise ImportError(
            f"mmcv's operators need a torchvision that belongs to this torch ({error}); see "
            '`python -m mmdet_alrp`'
        ) from error


__getattr__ = load_operators().find_operator
