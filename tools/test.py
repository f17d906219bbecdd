"""Test a detector or a segmentation net, as MMDetection's tools/test.py does.

--submission, --score-thr and --calibration are ours, for detectors.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from copy import deepcopy

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.calibration import CalibrationError, read_calibration
from mmdet_alrp.cli.checkpoint_files import check_checkpoint
from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.cli.input_checks import check_data
from mmdet_alrp.cli.launch import prepare_launch
from mmdet_alrp.cli.output_checks import check_place
from mmdet_alrp.cli.run_config import load_config
from mmdet_alrp.cli.run_options import add_common_options
from mmdet_alrp.cli.runner_building import build_loops, build_runner
from mmdet_alrp.cli.segmentation_runs import (
    augment_masks,
    draw_masks,
    is_segmentation,
    refuse_detection_options,
)
from mmdet_alrp.cli.submission import Submission
from mmdet_alrp.cli.weight_checks import check_weights
from mmdet_alrp.command_line import OneLineParser, UsageError
from mmdet_alrp.engine.score_calibration import score_map_of_labels
from mmdet_alrp.engine.score_thresholds import thresholds_of_labels
from mmdet_alrp.evaluation.threshold_files import ThresholdError, read_thresholds

TTA_META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
TTA_META_KEYS += ('flip', 'flip_direction')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__, prog='test.py')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_options(parser)
    parser.add_argument('--out', metavar='FILE.pkl', help='write the predictions to this file')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument(
        '--show-dir', help='draw the predictions; the folder lies in the run of the work dir'
    )
    parser.add_argument('--wait-time', type=float, default=2, help='seconds between two windows')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument(
        '--submission',
        metavar='FILE.zip',
        help="write the detections as COCO's test server takes them; measures nothing",
    )
    parser.add_argument(
        '--score-thr',
        metavar='THRESHOLDS.json',
        help='drop what scores below the threshold of its class; tools/eval_lrp.py --json writes '
        'such a file',
    )
    parser.add_argument(
        '--calibration',
        metavar='scores.json',
        help='turn scores into expected IoUs, before any threshold; tools/calibrate.py writes '
        'such a file',
    )
    return parser.parse_args(argv)


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Make the visualisation hook draw.

    Raises:
        UsageError: If the config has no such hook.
    """
    segmentation = is_segmentation(cfg)
    if 'visualization' not in cfg.get('default_hooks', {}):
        hook = 'SegVisualizationHook' if segmentation else 'DetVisualizationHook'
        raise UsageError(
            '--show and --show-dir need the hook in the config: '
            f"default_hooks=dict(visualization=dict(type='{hook}'))"
        )
    draw = draw_masks if segmentation else trigger_visualization_hook
    draw(cfg, args)


def use_thresholds(cfg: Config, path: str) -> None:
    """Filter detections by class; pictures show exactly what passes.

    Raises:
        UsageError: If the file holds no thresholds.
    """
    try:
        read_thresholds(path)
    except ThresholdError as error:
        raise UsageError(f'--score-thr: {error}') from None
    hook = {'type': 'ScoreThresholdHook', 'thresholds': path}
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]
    if cfg.get('default_hooks', {}).get('visualization'):
        cfg.default_hooks.visualization.score_thr = 0.0


def use_calibration(cfg: Config, path: str) -> None:
    """Turn the scores of detections into expected IoUs.

    Raises:
        UsageError: If the file holds no calibration.
    """
    try:
        read_calibration(path)
    except CalibrationError as error:
        raise UsageError(f'--calibration: {error}') from None
    hook = {'type': 'ScoreCalibrationHook', 'calibration': path}
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def check_names(runner: Runner, args: argparse.Namespace) -> None:
    """Check that thresholds and calibration are those of the test data set's classes.

    Raises:
        UsageError: If one is of no class of it.
    """
    dataset = runner.test_dataloader.dataset
    names = (dataset.metainfo['classes'], getattr(dataset, 'cat_ids', None))
    try:
        if args.score_thr:
            thresholds_of_labels(read_thresholds(args.score_thr), *names)
        if args.calibration:
            score_map_of_labels(read_calibration(args.calibration), *names)
    except ThresholdError as error:
        raise UsageError(f'--score-thr: {args.score_thr}: {error}') from None
    except CalibrationError as error:
        raise UsageError(f'--calibration: {args.calibration}: {error}') from None


def augment_at_test_time(cfg: Config) -> None:
    """Wrap the model and its pipeline; a config without settings for it gets a flip.

    Raises:
        UsageError: If the model predicts masks: MMDetection merges boxes only.
    """
    if is_segmentation(cfg):
        augment_masks(cfg)
        return
    if 'mask_head' in {**cfg.model, **(cfg.model.get('roi_head') or {})}:
        raise UsageError(
            "--tta: MMDetection's test-time augmentation merges boxes and no masks; leave it out "
            'for this model'
        )
    if 'tta_model' not in cfg:
        nms = {'type': 'nms', 'iou_threshold': 0.5}
        cfg.tta_model = {'type': 'DetTTAModel', 'tta_cfg': {'nms': nms, 'max_per_img': 100}}
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    if 'tta_pipeline' not in cfg:
        flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (1.0, 0.0)]
        packing = [{'type': 'PackDetInputs', 'meta_keys': TTA_META_KEYS}]
        cfg.tta_pipeline = deepcopy(dataset.pipeline)
        cfg.tta_pipeline[-1] = {'type': 'TestTimeAug', 'transforms': [flips, packing]}
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline


def check_out(path: str) -> None:
    """Check the file of the predictions before they are made.

    Raises:
        UsageError: If it is no pickle, or cannot be written.
    """
    if not path.endswith(('.pkl', '.pickle')):
        raise UsageError(f'--out must name a .pkl or .pickle file, got {path}')
    check_place(path, '--out')


def collect_predictions(runner: Runner, path: str) -> None:
    """Have the run write its predictions; the first process does."""
    kind = DumpResults if is_segmentation(runner.cfg) else DumpDetResults
    runner.test_evaluator.metrics.append(kind(out_file_path=path))


def main(argv: Sequence[str] | None = None) -> None:
    """Test."""
    args = parse_args(argv)
    cfg = load_config(args)
    if args.out is not None:
        check_out(args.out)
    check_checkpoint(args.checkpoint, 'checkpoint')
    refuse_detection_options(cfg, args)
    cfg.load_from = args.checkpoint
    cfg.resume = False  # the config of a resumed training still says so
    submission = Submission(cfg, args.submission) if args.submission else None
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    if args.score_thr:
        use_thresholds(cfg, args.score_thr)
    if args.calibration:
        use_calibration(cfg, args.calibration)
    if args.tta:
        augment_at_test_time(cfg)
    check_data(cfg, ('test',))
    prepare_launch(cfg)
    runner = build_runner(cfg)
    check_weights(runner.model, args.checkpoint, 'checkpoint')
    build_loops(runner, 'test_loop')
    if submission is not None:
        submission.check_coverage(runner)
    if args.score_thr or args.calibration:
        check_names(runner, args)
    with contextlib.ExitStack() as stack:
        if args.out is not None:
            writes = is_main_process()
            path = stack.enter_context(atomic_write(args.out)) if writes else args.out
            collect_predictions(runner, str(path))
        runner.test()
    if submission is not None and (line := submission.write()):
        print(line)


if __name__ == '__main__':
    sys.exit(exit_status_of(main, 'test.py'))
