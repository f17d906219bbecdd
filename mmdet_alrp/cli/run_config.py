"""The config of a run: its file with what the command line and the machine change in it."""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
from pathlib import Path
from typing import Any

from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.runner import Runner

from mmdet_alrp.command_line import UsageError, one_line

from .checkpoint_files import check_checkpoint
from .output_checks import check_folder
from .segmentation_runs import check_toolbox, explain_config_error

# Top-level config keys with a meaning that are no argument of Runner
OTHER_KEYS = ('custom_imports', 'runner_type', 'tta_model', 'tta_pipeline', 'model_wrapper_cfg')
OTHER_KEYS += ('find_unused_parameters', 'sync_bn', 'compile', 'search')
# What MMEngine and the code of a config raise when a file cannot be read
CONFIG_ERRORS = (OSError, SyntaxError, KeyError, ImportError, NameError, RuntimeError)
CONFIG_ERRORS += (AssertionError, ValueError)
# The box loss of a ranking is multiplied by 50 to 1,500 early in a training, which overflows
# float16 at the usual first scale, 65,536. One that is halved at a time would skip step after step.
LOSS_SCALE = {'init_scale': 4096.0, 'backoff_factor': 0.125, 'growth_interval': 500}


def load_config(args: argparse.Namespace) -> Config:
    """Return the config of a run: the file, then the options of the command line.

    Args:
        args: ``config``, ``cfg_options``, ``work_dir``, ``launcher`` and ``local_rank``; and
            ``data_root`` where the tool has that option.

    Raises:
        UsageError: If the file is missing or broken, or an option does not fit it.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    setup_cache_size_limit_of_dynamo()
    if not os.path.isfile(args.config):
        raise UsageError(f'there is no config file {args.config}')
    try:
        cfg = Config.fromfile(args.config)
    except CONFIG_ERRORS as error:
        reason = explain_config_error(error) or one_line(error)
        raise UsageError(f'{args.config} cannot be read: {reason}') from None
    check_toolbox(cfg)
    cfg.launcher = args.launcher
    data_root = getattr(args, 'data_root', None)  # not every tool has the option
    if data_root is not None:
        move_data(cfg, data_root)
    _merge_options(cfg, args.cfg_options or {})
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    check_folder(cfg.work_dir, 'work dir')
    _fit_precision(cfg)
    return cfg


def move_data(cfg: Config, folder: str) -> None:
    """Replace the folder of the data set in every path of the config that begins with it.

    Args:
        cfg: Config of the run, with the folder in ``data_root``; changed in place.
        folder: Where the data set lies.

    Raises:
        UsageError: If the folder is not there or the config has no ``data_root``.
    """
    if not os.path.isdir(folder):
        raise UsageError(f'--data-root: there is no folder {folder}')
    old = cfg.get('data_root')
    if not old:
        raise UsageError(
            '--data-root: the config has no data_root: use --cfg-options '
            'train_dataloader.dataset.data_root=FOLDER and so on'
        )
    new = folder if folder.endswith('/') else f'{folder}/'

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            value.update({key: moved(inner) for key, inner in value.items()})
        elif isinstance(value, list):
            value[:] = map(moved, value)
        elif isinstance(value, str) and value.startswith(old):
            return new + value[len(old) :].lstrip('/')
        return value

    moved(cfg._cfg_dict)


def use_backbone_weights(cfg: Config, path: str) -> None:
    """Let the backbone start from the weights in a file.

    Args:
        cfg: Config of the run; changed in place.
        path: A checkpoint with the weights of the backbone alone.

    Raises:
        UsageError: If the file cannot be read or the model has no backbone.
    """
    check_checkpoint(path, '--backbone-weights')
    if 'backbone' not in cfg.get('model', {}):
        raise UsageError("--backbone-weights: the config's model has no backbone")
    if cfg.model.get('pretrained'):
        cfg.model.pretrained = None
    cfg.model.backbone.init_cfg = {'type': 'Pretrained', 'checkpoint': path}


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
        raise UsageError(f'--cfg-options does not fit the config: {one_line(error)}') from None


def use_mixed_precision(cfg: Config) -> None:
    """Turn on ``--amp``: float16 with a loss scaler on CUDA, bfloat16 on the CPU.

    The scaler starts at ``LOSS_SCALE``, or at the config's own ``optim_wrapper.loss_scale``.

    Args:
        cfg: Config of the run; changed in place.

    Raises:
        UsageError: If the CPU cannot train this detector, or in this precision.
    """
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', dict(LOSS_SCALE))
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
