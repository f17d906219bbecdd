"""Has a detector look at its config's validation images, for what is fitted to its detections."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmdet_alrp.command_line import UsageError

from .checkpoint_files import check_checkpoint
from .input_checks import check_data
from .runner_building import build_loops, build_runner
from .segmentation_runs import is_segmentation
from .weight_checks import check_weights

LOWEST_SCORE = 1e-3  # kept, whatever the config's own threshold cuts off
OF_TESTS = ('ScoreThresholdHook', 'ScoreCalibrationHook')  # hooks that change scores


def detect_validation_images(
    cfg: Config, checkpoint: str, folder: str | os.PathLike, iou_type: str
) -> tuple[str, Path]:
    """Write the detections of a checkpoint on the validation images.

    A ``score_thr`` of the config above .001 becomes .001: what it cuts off is wanted here.

    Args:
        cfg: Config of the detector, read with ``load_config``; changed in place.
        checkpoint: File, or an address (with ``://``).
        folder: Where the detections are written.
        iou_type: ``'bbox'`` or ``'segm'``: what is detected.

    Returns:
        The annotation file and the file of detections.

    Raises:
        UsageError: If config, checkpoint or data are not fit for it, in one line.
    """
    check_checkpoint(checkpoint, 'checkpoint')
    if is_segmentation(cfg):
        raise UsageError(f'{cfg.filename}: no detector: its scores are of pixels')
    ann_file = _validation_ann_file(cfg)
    prefix = Path(folder) / 'validation'
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_cfg = {'type': 'TestLoop'}
    cfg.test_evaluator = {
        'type': 'CocoMetric',
        'metric': iou_type,
        'ann_file': ann_file,
        'format_only': True,
        'outfile_prefix': str(prefix),
    }
    for test_cfg in _score_settings(cfg.model):
        test_cfg.score_thr = min(test_cfg.score_thr, LOWEST_SCORE)
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks') or [] if hook['type'] not in OF_TESTS
    ]
    cfg.load_from = checkpoint
    check_data(cfg, ('test',))
    runner = build_runner(cfg)
    check_weights(runner.model, checkpoint, 'checkpoint')
    build_loops(runner, 'test_loop')
    runner.test()
    found = Path(f'{prefix}.{iou_type}.json')
    if not found.is_file():
        raise UsageError(f'{cfg.filename}: the model predicts no masks: leave --iou-type segm out')
    return ann_file, found


def _validation_ann_file(cfg: Config) -> str:
    evaluators = cfg.get('val_evaluator') or []
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if evaluator.get('ann_file') and cfg.get('val_dataloader'):
            return evaluator.ann_file
    raise UsageError(
        f'{cfg.filename}: needs val_dataloader, and val_evaluator with the ann_file of the '
        'validation images'
    )


def _score_settings(model: ConfigDict) -> list[ConfigDict]:
    """Test settings that have a threshold: of the detector, or of its R-CNN head."""
    settings = model.get('test_cfg') or {}
    return [each for each in (settings, settings.get('rcnn') or {}) if 'score_thr' in each]
