"""Resolve `_base_ = 'mmdet_alrp::NAME.py'` to the configs that the package carries.

MMEngine 0.10 resolves `package::folder/file` only for the packages in a fixed list, only in a
sub-folder, and not for an editable install that has no link file; it offers no way to register a
further package. So its look-up is extended here, for this one prefix. Configs found this way get
the scope of the package whose parts they name: `mmseg` for those in `segmentation/`, else `mmdet`.
For `mmseg::` the look-up asks for a distribution `mmsegmentation`; the fork that brings the same
module is called otherwise, and is looked at here.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

PREFIX = 'mmdet_alrp::'
SEGMENTATION = 'segmentation/'
CONFIGS = Path(__file__).parent / '.mim' / 'configs'
find_other_config = Config._get_cfg_path


def config_path(name: str) -> str:
    """Return the path of a config that the package carries.

    Args:
        name: File name inside the folder of configs, such as ``alrp_retinanet_r50_500.py`` or
            ``segmentation/ce_deeplabv3plus_r101_voc.py``.

    Raises:
        FileNotFoundError: If there is no such config, or the package was put on the path without
            being installed.
    """
    path = CONFIGS / name
    if path.is_file():
        return str(path)
    if not CONFIGS.is_dir():
        raise FileNotFoundError(
            f'{CONFIGS} is missing: mmdet_alrp is on the path but not installed. '
            'Run `pip install -e .` in its folder'
        )
    folder = SEGMENTATION if name.startswith(SEGMENTATION) else ''
    known = ', '.join(sorted(folder + file.name for file in (CONFIGS / folder).glob('*.py')))
    raise FileNotFoundError(f'mmdet_alrp has no config {name!r}; it has: {known}')


def find_config(cfg_path: str, filename: str) -> tuple[str, str | None]:
    """Return path and scope of a base config; the signature is that of MMEngine's look-up."""
    if cfg_path.startswith(PREFIX):
        name = cfg_path[len(PREFIX) :]
        return config_path(name), 'mmseg' if name.startswith(SEGMENTATION) else 'mmdet'
    try:
        return find_other_config(cfg_path, filename)
    except ModuleNotFoundError:
        path = find_in_fork(cfg_path)
        if path is None:
            raise
        return str(path), 'mmseg'


def find_in_fork(cfg_path: str) -> Path | None:
    """Return the path of a config of a module `mmseg` that no `mmsegmentation` brought, or None."""
    scope, _, name = cfg_path.partition('::')
    spec = find_spec('mmseg') if scope == 'mmseg' else None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / '.mim' / 'configs' / name
    return path if path.is_file() else None


Config._get_cfg_path = staticmethod(find_config)
