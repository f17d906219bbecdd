"""Train an aLRP RetinaNet on the embedded data set, evaluate it and draw what it finds.

Ends with a table of AP and oLRP beside the focal-loss twin; everything is under the work dir.
An interrupted demo goes on where it was when it is started again.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import FrameType
from typing import NoReturn

try:
    from mmdet_alrp.command_line import OneLineParser, UsageError
except ModuleNotFoundError as missing:
    if missing.name != 'mmdet_alrp':
        raise
    # Not installed: the package lies beside this folder.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from mmdet_alrp.command_line import OneLineParser, UsageError

import torch
from analysis.calibrated_half import calibrate_half
from analysis.comparison import (
    FIGURES,
    RunFigures,
    markdown_table,
    plain_table,
    read_reference,
    table_rows,
    write_reference,
)
from analysis.draw_detections import above_thresholds, draw_detections
from analysis.plot_training import plot_training
from analysis.tracked_run import TrackedRun
from mmengine.config import Config

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.calibration import CalibrationError, write_calibration
from mmdet_alrp.calibration.calibrators import check_method
from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.engine.bfloat16 import cpu_has_bfloat16
from mmdet_alrp.evaluation import evaluate_lrp
from mmdet_alrp.evaluation.coco_files import CocoFileError, read_detections, read_ground_truth
from mmdet_alrp.evaluation.lrp_plots import save_plots

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = Path(__file__).resolve().parent / 'demo_reference.json'
CONFIGS = {'aLRP': 'alrp_retinanet_r18_shapes.py', 'focal': 'focal_retinanet_r18_shapes.py'}
NUM_PICTURES = 8


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__.partition('\n')[0], prog='demo.py')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--data-root', type=Path, default=Path('data/shapes'))
    parser.add_argument('--epochs', type=int, help='length of a training (as the config says)')
    parser.add_argument(
        '--amp',
        action=argparse.BooleanOptionalAction,
        default=not torch.cuda.is_available() and cpu_has_bfloat16(),
        help='mixed precision (on a CPU with instructions for bfloat16)',
    )
    parser.add_argument('--retrain', action='store_true', help='train even what is trained already')
    parser.add_argument(
        '--with-focal', action='store_true', help='train the focal-loss twin as well'
    )
    parser.add_argument(
        '--update-reference',
        action='store_true',
        help="store the twin's figures for later demos; needs --with-focal",
    )
    parser.add_argument('--reference', type=Path, default=REFERENCE, help='file of stored figures')
    args = parser.parse_args(argv)
    if args.update_reference and not args.with_focal:
        parser.error('--update-reference stores the figures of --with-focal: give both')
    if args.epochs is not None and args.epochs < 1:
        parser.error(f'--epochs must be at least 1, got {args.epochs}')
    return args


def prepare_data(root: Path) -> str:
    """Draw the data set if it is not there; return what describes it.

    Raises:
        UsageError: If the folder holds something else.
    """
    manifest = root / 'manifest.json'
    if not all((root / name).is_file() for name in ('train.json', 'val.json', 'manifest.json')):
        options = ShapesOptions()
        print(f'data: drawing {options.train} + {options.val} images to {root}', flush=True)
        try:
            write_shapes(root, options, os.cpu_count() or 1)
        except FileExistsError as error:
            raise UsageError(f'{error}: remove it or give another --data-root') from None
    else:
        print(f'data: {root} is there')
    return manifest.read_text(encoding='utf-8')


def tracked_run(name: str, args: argparse.Namespace, data_stamp: str) -> TrackedRun:
    """Return the run of one of the configs with the options written into it.

    Raises:
        UsageError: If the config is missing.
    """
    path = ROOT / 'configs' / CONFIGS[name]
    if not path.is_file():
        raise UsageError(f'{path} is missing: run the demo in a whole checkout')
    cfg = Config.fromfile(path)
    if args.epochs is not None:
        shorten(cfg, args.epochs)
    folder = args.work_dir / name.lower()
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(args.data_root)
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = str(args.data_root / 'val.json')
    cfg.test_evaluator.outfile_prefix = str(folder / 'detections')
    cfg.test_evaluator.classwise = True
    return TrackedRun(name, folder, cfg, data_stamp, args.amp)


def shorten(cfg: Config, epochs: int) -> None:
    """Change the length of a run, and of what runs over its whole length."""
    full = cfg.train_cfg.max_epochs
    cfg.train_cfg.max_epochs = epochs
    for scheduler in cfg.get('param_scheduler') or []:
        for key in ('end', 'T_max'):
            if scheduler.get('by_epoch') and scheduler.get(key) == full:
                scheduler[key] = epochs


def train_and_judge(
    name: str, args: argparse.Namespace, data_stamp: str
) -> tuple[RunFigures, list[Path]]:
    """Train and evaluate one config and draw all pictures of it.

    Returns:
        The figures, and the files for the user to look at.
    """
    run = tracked_run(name, args, data_stamp)
    run.train(args.retrain)
    run.evaluate()
    detections = Path(f'{run.cfg.test_evaluator.outfile_prefix}.bbox.json')
    coco_gt = read_ground_truth(args.data_root / 'val.json', 'bbox')
    coco_dt = read_detections(detections, coco_gt, 'bbox')
    report = evaluate_lrp(coco_gt, coco_dt)
    title = f'{CONFIGS[name]}, {run.epochs} epochs'
    curves = plot_training(run.folder, run.folder / 'training.png', title)
    plots = save_plots(report, run.folder / 'evaluation')
    drawn_gt, found, thresholds = coco_gt, coco_dt.dataset['annotations'], report.thresholds()
    try:  # pictures show the half of the images that the calibration has not seen
        half = calibrate_half(coco_gt, coco_dt)
        drawn_gt, found, thresholds = half.truth, half.calibrated, half.thresholds()
        write_calibration(run.folder / 'scores.json', half.calibration)
        before, after = (each.summary()['LaECE_0'] for each in (half.before, half.after))
        print(
            f'{name}: scores made expected IoUs on half of the validation images; on the other '
            f'half LaECE_0 is {after:.3f}, before {before:.3f}'
        )
    except CalibrationError as error:
        print(f'{name}: raw scores are drawn: {error}')
    shown = above_thresholds(drawn_gt, found, thresholds)
    val_dir = args.data_root / 'val'
    pictures = draw_detections(drawn_gt, shown, val_dir, run.folder / 'pictures', NUM_PICTURES)
    minutes = run.note().get('seconds', 0.0) / 60
    print(f'{name}: trained in {minutes:.1f} minutes on {run_device()}')
    figures = RunFigures(
        config=f'configs/{CONFIGS[name]}',
        command=reproducing_command(args),
        seed=run.cfg.get('randomness', {}).get('seed'),
        epochs=run.epochs,
        torch=torch.__version__,
        date=date.today().isoformat(),
        metrics={figure: report.summary()[figure] for figure in FIGURES},
    )
    return figures, [pictures[0], curves, plots[0].parent, detections]


def run_device() -> str:
    """What a run uses, as MMEngine chooses it."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'the CPU ({torch.get_num_threads()} threads)'


def reproducing_command(args: argparse.Namespace) -> str:
    """Command line that gives the figures again; folders have no part in them."""
    words = ['python', 'tools/demo.py', *['--with-focal'] * args.with_focal]
    if args.data_root != Path('data/shapes'):
        words += ['--data-root', str(args.data_root)]
    words += ['--epochs', str(args.epochs)] if args.epochs else []
    return shlex.join([*words, f'--{"" if args.amp else "no-"}amp'])


def write_report(columns: list[tuple[str, RunFigures]], path: Path) -> None:
    """Print the table and write it as Markdown."""
    rows = table_rows(columns)
    notes = [f'{name}: {run.source()}' for name, run in columns]
    if columns[1][1].epochs not in (None, columns[0][1].epochs):
        notes.append('The two columns have different numbers of epochs: they do not compare.')
    print(f'\n{plain_table(rows)}\n')
    print('\n'.join(notes))
    text = '\n'.join(f'- {note}' for note in notes)
    with atomic_write(path) as draft:
        draft.write_text(
            f'# aLRP and focal loss on the drawn shapes\n\n{markdown_table(rows)}\n\n'
            f'Validation images; oLRP at IoU 0.5.\n\n{text}\n',
            encoding='utf-8',
        )


def stop(signum: int, frame: FrameType | None) -> NoReturn:
    """Turn a request to end into an exception, so that the training is ended too.

    Raises:
        KeyboardInterrupt: Always.
    """
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demo.

    Args:
        argv: Command line; None takes that of the process.

    Raises:
        UsageError: If data, runs or stored figures cannot be used, in one line.
    """
    args = parse_args(argv)
    try:
        check_method('isotonic')
    except ModuleNotFoundError as error:
        raise UsageError(f'the demo calibrates scores: {error}') from None
    stored = None if args.with_focal else read_reference(args.reference)
    try:
        data_stamp = prepare_data(args.data_root)
        figures, paths = train_and_judge('aLRP', args, data_stamp)
        columns = [('aLRP (measured here)', figures)]
        if args.with_focal:
            twin, twin_paths = train_and_judge('focal', args, data_stamp)
            columns.append(('focal (measured here)', twin))
            paths += twin_paths
        else:
            columns.append(('focal (stored)', stored))
        if args.update_reference:
            write_reference(args.reference, twin)
            paths.append(args.reference)
        report = args.work_dir / 'report.md'
        write_report(columns, report)
    except (CocoFileError, OSError) as error:
        raise UsageError(' '.join(str(error).split())) from None
    print('\nLook at:')
    for path in [report, *paths]:
        print(f'  {path}')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, stop)
    try:
        status = exit_status_of(main, 'demo.py')
    except KeyboardInterrupt:
        print('\ndemo.py: interrupted; the same command goes on from here', file=sys.stderr)
        status = 130
    sys.exit(status)
