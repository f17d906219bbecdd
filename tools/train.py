"""Train a detector or a segmentation net; the command line is that of MMDetection's tool."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
from mmengine.config import Config

from mmdet_alrp.cli.checkpoint_files import check_checkpoint, check_last_checkpoint
from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.cli.input_checks import check_data
from mmdet_alrp.cli.launch import prepare_launch
from mmdet_alrp.cli.run_config import load_config, use_backbone_weights, use_mixed_precision
from mmdet_alrp.cli.run_options import add_common_options
from mmdet_alrp.cli.runner_building import build_loops, build_runner
from mmdet_alrp.cli.weight_checks import check_weights
from mmdet_alrp.command_line import OneLineParser, UsageError
from mmdet_alrp.engine.wrapped_models import bare_detector


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__, prog='train.py')
    parser.add_argument('config', help='config file')
    add_common_options(parser)
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision: float16 on CUDA, bfloat16 on the CPU',
    )
    parser.add_argument(
        '--backbone-weights',
        metavar='FILE',
        help="weights that the backbone starts from, in place of the config's",
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate from auto_scale_lr.base_batch_size to the actual batch',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint; without a value from the latest one in the work dir',
    )
    return parser.parse_args(argv)


def apply_options(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options of training into the config.

    Raises:
        UsageError: If an option does not fit the config, or a checkpoint cannot be read.
    """
    if args.amp:
        use_mixed_precision(cfg)
    if args.backbone_weights is not None:
        use_backbone_weights(cfg, args.backbone_weights)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UsageError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        check_last_checkpoint(cfg.work_dir)
        cfg.resume = True
        cfg.load_from = None
    elif args.resume is not None:
        check_checkpoint(args.resume, '--resume')
        cfg.resume = True
        cfg.load_from = args.resume
    elif cfg.get('load_from'):
        check_checkpoint(cfg.load_from, 'load_from')


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    args = parse_args(argv)
    cfg = load_config(args)
    apply_options(cfg, args)
    check_data(cfg, ('train', 'val'))
    prepare_launch(cfg)
    runner = build_runner(cfg)
    if args.backbone_weights is not None:
        backbone = bare_detector(runner.model).backbone
        check_weights(backbone, args.backbone_weights, '--backbone-weights')
    if args.resume not in (None, 'auto'):
        check_weights(runner.model, args.resume, '--resume')
    build_loops(runner, 'train_loop', 'val_loop')
    runner.train()


if __name__ == '__main__':
    sys.exit(exit_status_of(main, 'train.py'))
