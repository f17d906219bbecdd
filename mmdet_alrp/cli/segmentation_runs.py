"""What the tools do otherwise where a config is one of MMSegmentation."""

from __future__ import annotations

import argparse
import os
from copy import deepcopy
from importlib import import_module

from mmengine.config import Config, ConfigDict
from torch import nn

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.compatibility import is_importable

MISSING = "MMSegmentation is not installed: pip install 'mmdet-alrp[seg]'"


def is_segmentation(cfg: Config) -> bool:
    """Say whether a config's parts are those of MMSegmentation."""
    return cfg.get('default_scope') == 'mmseg'


def check_toolbox(cfg: Config) -> None:
    """Check that MMSegmentation is there if the config needs it.

    Args:
        cfg: Config of the run.

    Raises:
        UsageError: If it is missing, or does not fit the rest of the stack.
    """
    if not is_segmentation(cfg):
        return
    if not is_importable('mmseg'):
        raise UsageError(f'{cfg.filename}: {MISSING}')
    try:
        import_module('mmseg.registry')
    except (ImportError, AssertionError) as error:  # its own check of versions is an assertion
        reason = ' '.join(str(error).split())[:200]
        raise UsageError(f'MMSegmentation does not fit what is installed: {reason}') from None


def check_classes(model: nn.Module, dataset: object) -> None:
    """Check that a model has as many classes as a data set, which says so before it is trained.

    Args:
        model: Model of MMSegmentation, maybe wrapped.
        dataset: Data set; one without a list of classes passes.

    Raises:
        UsageError: If the numbers differ.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    for name, part in model.named_modules() if classes else ():
        count = getattr(part, 'num_classes', None)
        if hasattr(part, 'loss_decode') and type(count) is int and count != len(classes):
            raise UsageError(
                f'{name} has num_classes={count}, but {type(dataset).__name__} has '
                f'{len(classes)} classes: {", ".join(map(str, classes))[:100]}'
            )


def explain_config_error(error: BaseException) -> str:
    """Return what a config that could not be read lacks; empty if it is not MMSegmentation."""
    return MISSING if 'mmseg' in str(error) and not is_importable('mmseg') else ''


def draw_masks(cfg: Config, args: argparse.Namespace) -> None:
    """Make MMSegmentation's hook draw every image.

    Its hook knows no folder; its back end does, so that the pictures lie in the run of the work
    dir, as MMDetection's do. It also asks for the training iteration, for which the training data
    would be loaded: without a training loop that is 0.

    Args:
        cfg: Config of the run; changed in place.
        args: ``show``, ``wait_time`` (seconds) and ``show_dir``.
    """
    for name in ('train_cfg', 'train_dataloader', 'optim_wrapper', 'param_scheduler'):
        cfg.pop(name, None)
    hook = cfg.default_hooks.visualization
    hook.update(draw=True, interval=1)
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        folder = os.path.join(os.pardir, args.show_dir)  # an absolute path stays what it is
        cfg.visualizer.vis_backends = [{'type': 'LocalVisBackend', 'img_save_dir': folder}]


def refuse_detection_options(cfg: Config, args: argparse.Namespace) -> None:
    """Refuse the options of a test that are about boxes where there are none.

    Args:
        cfg: Config of the run.
        args: ``submission``, ``score_thr`` and ``calibration``.

    Raises:
        UsageError: If one of them is given.
    """
    if not is_segmentation(cfg):
        return
    for option in ('--submission', '--score-thr', '--calibration'):
        if getattr(args, option.removeprefix('--').replace('-', '_')):
            raise UsageError(
                f"{option} is about boxes: leave it out for a config of MMSegmentation's"
            )


def augment_masks(cfg: Config) -> None:
    """Average the probabilities over an image and its mirror image, or as the config says.

    Args:
        cfg: Config of the run; changed in place.

    Raises:
        UsageError: If the model has one channel: MMSegmentation takes the sigmoid of it twice, and
            every pixel would be salient.
    """
    heads = cfg.model.decode_head
    head = heads[-1] if isinstance(heads, list) else heads
    if head.get('out_channels') == 1:
        raise UsageError(
            "--tta: MMSegmentation's test-time augmentation takes the sigmoid of a single channel "
            'twice; leave it out for this model'
        )
    dataset = cfg.test_dataloader.dataset
    if 'tta_pipeline' not in cfg:
        flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (0.0, 1.0)]
        cfg.tta_pipeline = deepcopy(dataset.pipeline)
        packing = cfg.tta_pipeline[-1]
        cfg.tta_pipeline[-1] = {'type': 'TestTimeAug', 'transforms': [flips, [packing]]}
    cfg.model = ConfigDict(**cfg.get('tta_model', {'type': 'SegTTAModel'}), module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline
