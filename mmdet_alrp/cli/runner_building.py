"""Builds runner and loops of a config; what the toolboxes refuse becomes one line."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

from mmdet.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner

from mmdet_alrp.command_line import UsageError, one_line

from .segmentation_runs import check_classes, is_segmentation

TOOLBOXES = ('mmdet_alrp', 'mmdet', 'mmseg', 'mmengine', 'mmcv')


def build_runner(cfg: Config) -> Runner:
    """Return the runner that the config asks for.

    Args:
        cfg: Config of the run.

    Raises:
        UsageError: If a part of these toolboxes refuses its settings, or a type is not registered.
            What goes wrong in other code keeps its traceback.
    """
    with _refusals_as_usage(cfg):
        return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def build_loops(runner: Runner, *names: str) -> None:
    """Build loops of a runner, which else come with its run: their data sets and evaluators.

    Args:
        runner: The runner.
        *names: Any of train_loop, val_loop, test_loop.

    Raises:
        UsageError: As :func:`build_runner`, or if the classes of a data set are not the model's.
    """
    for name in names:
        with _refusals_as_usage(runner.cfg):
            loop = getattr(runner, name)
        if loop is not None and is_segmentation(runner.cfg):
            check_classes(runner.model, getattr(loop.dataloader, 'dataset', None))


@contextlib.contextmanager
def _refusals_as_usage(cfg: Config) -> Iterator[None]:
    try:
        yield
    except (AssertionError, ImportError, KeyError, OSError, TypeError, ValueError) as error:
        if not _is_refusal(error):
            raise
        raise UsageError(f'{cfg.filename}: {one_line(error)}') from None


def _is_refusal(error: Exception) -> bool:
    """Whether an error comes straight from a toolbox, or from its call with wrong arguments."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get('__name__', '').partition('.')[0] in TOOLBOXES
