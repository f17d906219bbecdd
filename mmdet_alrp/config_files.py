"""Where the configs are that the package carries."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def config_path(name: str) -> str:
    """Return the path of a config that the package carries, as a base of a config of your own.

    In a config: ``_base_ = __import__('mmdet_alrp').config_path('alrp_retinanet_r50_500.py')``.

    Args:
        name: File name inside the folder of configs, such as ``alrp_retinanet_r50_500.py`` or
            ``segmentation/ce_deeplabv3plus_r101_voc.py``.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: If there is no such config; the message lists the known ones.
    """
    configs = PACKAGE / '.mim' / 'configs'
    if not configs.is_dir():  # a checkout on the path that is not installed
        configs = PACKAGE.parent / 'configs'
    path = configs / name
    if path.is_file():
        return str(path)
    folder = name.rpartition('/')[0]
    known = sorted(file.relative_to(configs).as_posix() for file in (configs / folder).glob('*.py'))
    if not known:
        raise FileNotFoundError(f'mmdet_alrp has no config {name!r}, nor any in {configs / folder}')
    raise FileNotFoundError(f'mmdet_alrp has no config {name!r}; it has: {", ".join(known)}')
