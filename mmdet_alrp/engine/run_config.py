"""What the tools that run a config share: common options, the config made of them, its runner."""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmdet.registry import RUNNERS
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, DictAction
from mmengine.device import is_cuda_available
from mmengine.runner import Runner

from mmdet_alrp.command_line import UsageError

from .launch import finish_launch, in_cpu_group, is_first_process
from .output_checks import check_folder
from .segmentation_runs import (
    check_classes,
    check_toolbox,
    explain_config_error,
    is_segmentation,
)

# Top-level config keys with a meaning that are no argument of Runner
OTHER_KEYS = ('custom_imports', 'runner_type', 'tta_model', 'tta_pipeline', 'model_wrapper_cfg')
OTHER_KEYS += ('find_unused_parameters', 'sync_bn', 'compile', 'search')
TOOLBOXES = ('mmdet_alrp', 'mmdet', 'mmseg', 'mmengine', 'mmcv')


class ConfigOptions(DictAction):
    """``DictAction`` that takes ``key={...}`` too and reports wrong forms as wrong use."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Collect the pairs of one ``--cfg-options``."""
        flat, nested = [], {}
        for pair in values or []:
            key, equals, value = pair.partition('=')
            if not key or not equals:
                parser.error(f'{option_string}: must be key=value, got {pair!r}')
            if not value.startswith('{'):
                flat.append(pair)
                continue
            try:
                nested[key] = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                parser.error(f'{option_string}: {key} must be a dict in Python, got {value!r}')
        try:
            super().__call__(parser, namespace, flat, option_string)
        except AssertionError as error:  # brackets that do not match
            parser.error(f'{option_string}: {error}')
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **nested})


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that train.py and test.py share, as MMDetection spells them.

    Args:
        parser: Parser of the tool.
    """
    parser.add_argument('--work-dir', help='folder of logs, checkpoints and figures')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='settings that replace those of the config, such as optim_wrapper.optimizer.lr=0.01; '
        'a list is key="[a,b]" or key=a,b, a dict key="{\'a\':1}"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed run were started',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Return the config of a run: the file, then ``--cfg-options``, launcher and work dir.

    Args:
        args: ``config``, ``cfg_options``, ``work_dir``, ``launcher`` and ``local_rank``.

    Raises:
        UsageError: If the file is missing or broken, or an option does not fit it.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    setup_cache_size_limit_of_dynamo()
    if not os.path.isfile(args.config):
        raise UsageError(f'there is no config file {args.config}')
    try:
        cfg = Config.fromfile(args.config)
    except (OSError, SyntaxError, KeyError, ImportError, NameError, RuntimeError) as error:
        reason = explain_config_error(error) or _one_line(error)
        raise UsageError(f'{args.config} cannot be read: {reason}') from None
    check_toolbox(cfg)
    cfg.launcher = args.launcher
    _merge_options(cfg, args.cfg_options or {})
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    check_folder(cfg.work_dir, 'work dir')
    _fit_precision(cfg)
    return cfg


def _merge_options(cfg: Config, options: dict) -> None:
    runner_keys = inspect.signature(Runner.__init__).parameters
    known = {*cfg, *runner_keys, *OTHER_KEYS} - {'self', 'cfg'}
    for key in options:
        top = key.partition('.')[0]
        if top not in known:
            close = difflib.get_close_matches(top, known, n=1)
            hint = f'; did you mean {close[0]}?' if close else ''
            raise UsageError(f'--cfg-options: the config has no key {top!r}{hint}')
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise UsageError(f'--cfg-options does not fit the config: {_one_line(error)}') from None


def _one_line(error: BaseException) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return ' '.join(str(text).split())[:300]


def use_mixed_precision(cfg: Config) -> None:
    """Turn on ``--amp``: float16 with a loss scaler on CUDA, bfloat16 on the CPU.

    Args:
        cfg: Config of the run; changed in place.

    Raises:
        UsageError: If the CPU cannot train this detector, or in this precision.
    """
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.loss_scale = 'dynamic'
    _fit_precision(cfg)


def _fit_precision(cfg: Config) -> None:
    """Replace the float16 wrapper, which needs CUDA, where there is none."""
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('type') != 'AmpOptimWrapper' or is_cuda_available():
        return
    if wrapper.get('dtype') not in (None, 'bfloat16'):
        raise UsageError(
            f'optim_wrapper.dtype={wrapper.dtype} needs CUDA, which is not there: '
            'use dtype=bfloat16 on the CPU'
        )
    if 'roi_head' in cfg.get('model', {}):
        raise UsageError(
            "mixed precision (--amp): mmcv's NMS and RoIAlign, which a two-stage detector needs in "
            'training, know no bfloat16 on the CPU: train it without'
        )
    wrapper.type = 'BFloat16OptimWrapper'
    for name in ('loss_scale', 'dtype', 'use_fsdp'):
        wrapper.pop(name, None)


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
    except (AssertionError, KeyError, OSError, TypeError, ValueError) as error:
        if not _is_refusal(error):
            raise
        raise UsageError(f'{cfg.filename}: {_one_line(error)}') from None


def _is_refusal(error: Exception) -> bool:
    """Whether an error comes straight from a toolbox, or from its call with wrong arguments."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get('__name__', '').partition('.')[0] in TOOLBOXES


def _last_word(error: UsageError) -> str:
    """Return the message alone where a data loader's worker has put its traceback before it."""
    text = str(error)
    if 'Original Traceback' not in text:
        return text
    return text.strip().splitlines()[-1].partition('Error: ')[2]


def exit_status_of(main: Callable[[], None], tool: str) -> int:
    """Run a tool; report wrong use in one line, once for all processes.

    Args:
        main: What the tool does.
        tool: Its file name, for the message.

    Returns:
        0, or 2 after a :class:`UsageError`. In one of several processes on the CPU it does not
        return: see :func:`~mmdet_alrp.engine.launch.finish_launch`.

    Raises:
        Exception: Whatever else the tool raises.
    """
    status = 0
    # mmengine's way to look packages up; nothing that a user of a tool can change
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated', UserWarning)
    try:
        main()
    except UsageError as error:
        status = 2
        if is_first_process():
            print(f'{tool}: error: {_last_word(error)}', file=sys.stderr)  # noqa: T201
    except Exception:  # shown here, not swallowed: see finish_launch for the way out of a CPU group
        if not in_cpu_group():
            raise
        status = 1
        traceback.print_exc()
    finish_launch(status)
    return status
