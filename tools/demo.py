"""Train a detector with aLRP and its twin with focal loss on drawn images, and show what they find.

An interrupted demo goes on where it was when it is started again.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
import numpy as np
import torch
from analysis.calibrated_half import CalibratedHalf, calibrate_half
from analysis.draw_detections import (
    SHEET_PANEL,
    above_thresholds,
    captioned,
    choose_images,
    draw_boxes,
    read_image,
    tiled,
    write_png,
)
from analysis.training_log import read_log
from mmengine.config import Config

from mmdet_alrp.calibration import CalibrationError
from mmdet_alrp.calibration.calibrators import check_method
from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.command_line import OneLineParser, UsageError
from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.engine.bfloat16 import cpu_has_bfloat16
from mmdet_alrp.evaluation.coco_files import CocoFileError, read_detections, read_ground_truth
from mmdet_alrp.evaluation.json_files import write_json

ROOT = Path(__file__).resolve().parent.parent
TWINS = {'aLRP': 'alrp_retinanet_demo', 'focal': 'focal_retinanet_demo'}
SHAPES = ShapesOptions(train=2400, val=300)
# Row of the table -> figure of tools/benchmarks/compare_losses.py
ROWS = {
    'AP, IoU .50 to .95': 'AP',
    'AP50': 'AP50',
    'AP75': 'AP75',
    'oLRP (lower is better)': 'oLRP',
    'error of raw scores (LaECE)': 'LaECE',
    'error after calibration': 'LaECE calibrated',
}
NUM_PICTURES = 8
SECONDS = 15  # between two lines of progress
NEXT = (
    'Your own photos, in COCO format (FOLDER/train.json, val.json, train/, val/): write their\n'
    'classes into configs/_base_/aquarium.py and their number into the config, then\n'
    '  python tools/train.py configs/alrp_retinanet_mnv2_aquarium.py --data-root FOLDER'
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__.partition('\n')[0], prog='demo.py')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--data-root', type=Path, default=Path('data/demo'))
    parser.add_argument('--steps', type=int, help='length of a training (as the configs say)')
    parser.add_argument(
        '--amp',
        action=argparse.BooleanOptionalAction,
        default=not torch.cuda.is_available() and cpu_has_bfloat16(),
        help='mixed precision (on a CPU with instructions for bfloat16)',
    )
    args = parser.parse_args(argv)
    if args.steps is not None and args.steps < 1:
        parser.error(f'--steps must be at least 1, got {args.steps}')
    if ' ' in str(args.work_dir):  # MMEngine takes spaces out of what --cfg-options sets
        parser.error(f'--work-dir must be without spaces, got {str(args.work_dir)!r}')
    return args


def draw_data(root: Path) -> None:
    """Draw the data set unless one is there.

    Raises:
        UsageError: If the folder holds something else.
    """
    if all((root / name).is_file() for name in ('train.json', 'val.json', 'manifest.json')):
        print(f'{root}: the images are there')
        return
    print(f'{root}: drawing {SHAPES.train} + {SHAPES.val} images', flush=True)
    try:
        write_shapes(root, SHAPES, os.cpu_count() or 1)
    except FileExistsError as error:
        raise UsageError(f'{error}: remove it or give another --data-root') from None


def claim(args: argparse.Namespace) -> TextIO:
    """Take the work dir, unless it holds a demo of other configs, options or images.

    Returns:
        An open file with a lock, for the trainings to hold as well.

    Raises:
        UsageError: If the work dir holds something else, or another demo uses it.
    """
    args.work_dir.mkdir(parents=True, exist_ok=True)
    lock = open(args.work_dir / '.lock', 'w', encoding='utf-8')  # noqa: SIM115 - stays open
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UsageError(f'{args.work_dir}: another demo uses it: wait for its end') from None
    configs = [Config.fromfile(ROOT / 'configs' / f'{name}.py') for name in TWINS.values()]
    texts = [json.dumps(cfg.to_dict(), sort_keys=True, default=str) for cfg in configs]
    texts.append((args.data_root / 'manifest.json').read_text(encoding='utf-8'))
    digest = hashlib.sha256('\n'.join(texts).encode()).hexdigest()
    own = {'steps': args.steps, 'amp': args.amp, 'configs and images': digest}
    note = args.work_dir / 'demo.json'
    if not note.is_file():
        write_json(note, own)
    elif json.loads(note.read_text(encoding='utf-8')) != own:
        raise UsageError(
            f'{args.work_dir} holds a demo with other options, configs or images: '
            'remove it or give another --work-dir'
        )
    return lock


def training_command(args: argparse.Namespace) -> list[str]:
    """Command line that trains both twins side by side."""
    command = ['tools/benchmarks/compare_losses.py']
    command += [f'configs/{TWINS[name]}.py' for name in ('focal', 'aLRP')]  # the baseline first
    command += ['--work-dir', str(args.work_dir), '--data-root', str(args.data_root)]
    command += ['--seeds', '0', '--jobs', '2', *['--amp'] * args.amp]
    if args.steps is not None:
        keys = ('train_cfg.max_iters', 'train_cfg.val_interval')
        keys += ('param_scheduler.1.end', 'param_scheduler.1.T_max')
        command += ['--cfg-options', *(f'{key}={args.steps}' for key in keys)]
    return command


def train(args: argparse.Namespace, lock: TextIO) -> None:
    """Train what is not finished and tell how far it is.

    Args:
        args: Options of the demo.
        lock: Held by the trainings for as long as they run, even if the demo is killed.

    Raises:
        UsageError: If a training stops.
    """
    command = training_command(args)
    steps = args.steps or Config.fromfile(ROOT / command[1]).train_cfg.max_iters
    print(f'training: python {shlex.join(command)}', flush=True)
    log = args.work_dir / 'training.log'
    with open(log, 'a', encoding='utf-8') as file:
        process = subprocess.Popen(
            [sys.executable, *(str(ROOT / w) if w.endswith('.py') else w for w in command)],
            stdout=file,
            stderr=file,
            start_new_session=True,  # a group of its own, which can be ended as a whole
            pass_fds=(lock.fileno(),),
        )
    try:
        while process.poll() is None:
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                folders = {name: run_folder(args.work_dir, name) for name in TWINS}
                shown = [f'{name} {progress(folder, steps)}' for name, folder in folders.items()]
                print(f'{time.strftime("%H:%M:%S")}  ' + '   '.join(shown), flush=True)
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)  # the trainings as well
        process.wait()
        raise
    if process.returncode:
        last = log.read_text(encoding='utf-8', errors='replace').strip().rpartition('\n')[2]
        raise UsageError(f'the training stopped ({last[:200]}); everything it said is in {log}')


def progress(folder: Path, steps: int) -> str:
    """The last step that a run has logged."""
    try:
        last = read_log(folder).train[-1]
    except (UsageError, IndexError):
        return 'starts'
    return f'step {last["step"]} of {steps}, loss {last["loss"]:.3f}'


def run_folder(work_dir: Path, name: str) -> Path:
    """Where compare_losses.py leaves the run of a twin."""
    return work_dir / TWINS[name] / 'seed0'


def calibrated(args: argparse.Namespace) -> dict[str, CalibratedHalf]:
    """Detections of both twins with expected IoUs as scores, on half of the validation images.

    Raises:
        UsageError: If a twin has found nothing.
    """
    truth = read_ground_truth(args.data_root / 'val.json', 'bbox')
    halves = {}
    for name in TWINS:
        found = run_folder(args.work_dir, name) / 'val.bbox.json'
        try:
            halves[name] = calibrate_half(truth, read_detections(found, truth, 'bbox'))
        except CalibrationError as error:
            raise UsageError(f'{name}: {error}: train longer') from None
    return halves


def contact_sheet(halves: dict[str, CalibratedHalf], images_dir: Path) -> np.ndarray:
    """Draw the twins beside each other on the same images, two images a row.

    A twin shows what reaches its best threshold of the class; objects are thin white boxes.
    """
    truth = next(iter(halves.values())).truth
    shown = {
        name: above_thresholds(truth, half.calibrated, half.thresholds())
        for name, half in halves.items()
    }
    panels = []
    for image_id in choose_images(truth, NUM_PICTURES):
        image = read_image(images_dir / truth.imgs[image_id]['file_name'])
        objects = truth.imgToAnns[image_id]
        for name, detections in shown.items():
            found = [det for det in detections if det['image_id'] == image_id]
            panel = draw_boxes(image, found, truth, SHEET_PANEL, objects)
            panels.append(captioned(panel, f'{name}: {len(found)} found, {len(objects)} there'))
    return tiled([panels[start : start + 4] for start in range(0, len(panels), 4)])


def table(work_dir: Path) -> str:
    """Figures of both twins as aligned text."""
    files = [run_folder(work_dir, name) / 'figures.json' for name in TWINS]
    runs = [json.loads(file.read_text(encoding='utf-8'))['figures'] for file in files]
    lines = [f'{"":28}' + ''.join(f'{name:>8}' for name in TWINS)]
    for row, figure in ROWS.items():
        cells = ['-' if run[figure] is None else f'{run[figure]:.3f}' for run in runs]
        lines.append(f'{row:28}' + ''.join(f'{cell:>8}' for cell in cells))
    return '\n'.join(lines)


def stop(signum: int, frame: FrameType | None) -> NoReturn:
    """Turn a request to end into an exception, so that the trainings are ended too.

    Raises:
        KeyboardInterrupt: Always.
    """
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demo."""
    args = parse_args(argv)
    started = time.monotonic()
    try:
        check_method('isotonic')
    except ModuleNotFoundError as error:
        raise UsageError(f'the demo calibrates scores: {error}') from None
    try:
        draw_data(args.data_root)
        with claim(args) as lock:
            train(args, lock)
        sheet = contact_sheet(calibrated(args), args.data_root / 'val')
        path = write_png(args.work_dir / 'contact_sheet.png', sheet)
    except (CocoFileError, OSError) as error:
        raise UsageError(' '.join(str(error).split())) from None
    print(f'\n{table(args.work_dir)}\n')
    print(f'Pictures: {path} (scores are expected IoUs; thin white boxes are the objects)')
    print(f'All figures: {args.work_dir / "table.md"}')
    print(f'This took {(time.monotonic() - started) / 60:.1f} minutes.\n\n{NEXT}')


if __name__ == '__main__':
    for request in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, stop)
    try:
        status = exit_status_of(main, 'demo.py')
    except KeyboardInterrupt:
        print('\ndemo.py: interrupted; the same command goes on from here', file=sys.stderr)
        status = 130
    sys.exit(status)
