"""What a run leaves in MMEngine, and what takes longer than a tiny run itself."""

import gc
from functools import cache
from types import SimpleNamespace

from mmengine.config import config, utils
from mmengine.dataset import base_dataset
from mmengine.utils import ManagerMixin


def quicken_mmengine() -> None:
    """Do once what MMEngine does for every `_base_` in a toolbox, and format no config.

    It reads all indices of the toolbox's configs, a second of parsing YAML, and all that is
    installed. For every dataset it also collects garbage, among all imported modules; Python does
    so by itself.
    """
    utils.load = cache(utils.load)
    config.is_installed = cache(config.is_installed)
    config.FormatCode = lambda text, **_: (text, False)
    base_dataset.gc = SimpleNamespace(collect=int)
    gc.freeze()


def forget_runs() -> None:
    """Drop the scope, visualizers and loggers that MMEngine would hand to the next run.

    What stays is left out of later collections of garbage: most of it are imported modules.
    """
    managers = ManagerMixin.__subclasses__()
    while managers:
        manager = managers.pop()
        manager._instance_dict.clear()
        managers.extend(manager.__subclasses__())
    gc.collect()
    gc.freeze()
