"""What calibration gives to trained detectors: one table of all, each row over its seeds.

A row is NAME=WORK_DIR[,WORK_DIR...], the work dirs of its seeds, with config and checkpoint as
tools/train.py leaves them. Every detector looks at its config's test images; maps and thresholds
are fitted to every second image and judged on the rest.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

TOOLS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOOLS))
if find_spec('mmdet_alrp') is None:  # not installed: the package lies two folders up
    sys.path.insert(0, str(TOOLS.parent))

try:
    from ablation_table import with_spread, write_text
    from analysis.calibrated_half import CalibratedHalf, calibrate_half
    from analysis.draw_detections import draw_detections
    from analysis.judged_results import named_files
    from mmengine.config import Config

    from mmdet_alrp.calibration import METHODS, CalibrationError
    from mmdet_alrp.calibration.calibrators import check_method
    from mmdet_alrp.cli.input_checks import dataset_path
    from mmdet_alrp.cli.validation_detections import LOWEST_SCORE
    from mmdet_alrp.command_line import OneLineParser, UsageError, fail
    from mmdet_alrp.evaluation import evaluate_lrp, load_detections
    from mmdet_alrp.evaluation.coco_files import CocoFileError, read_detections, read_ground_truth
    from mmdet_alrp.evaluation.json_files import write_json
except ImportError as misfit:  # the package says which version does not fit, and what to do
    print(f'calibration.py: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)

USUAL_SCORE = 0.05  # MMDetection's score_thr
DRAWN_SCORE = 0.3  # what MMDetection draws
COLUMNS = ('AP', f'AP at score > {USUAL_SCORE}', 'oLRP', 'LaECE_0', 'LaACE_0', 'D_ECE')


class Run(NamedTuple):
    """A finished training.

    Args:
        folder: Its work dir.
        config: The config in it.
        checkpoint: The last checkpoint in it.
    """

    folder: Path
    config: Path
    checkpoint: Path


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__, prog='calibration.py')
    parser.add_argument('rows', nargs='+', metavar='NAME=WORK_DIR[,WORK_DIR...]')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FOLDER', help='for table and pictures'
    )
    parser.add_argument('--method', choices=tuple(METHODS), default='isotonic')
    parser.add_argument(
        '--picture', metavar='NAME', help='row whose first detector is drawn before and after'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='settings of every test'
    )
    return parser.parse_args(argv)


def find_run(folder: str) -> Run:
    """Find config and checkpoint of a work dir.

    Raises:
        UsageError: If one is missing, or there are several configs.
    """
    configs = sorted(Path(folder).glob('*.py'))
    if len(configs) != 1:
        raise UsageError(f'{folder}: must hold one config, has {len(configs)}')
    checkpoints = sorted(Path(folder).glob('*.pth'), key=lambda path: path.stat().st_mtime)
    if not checkpoints:
        raise UsageError(f'{folder}: no checkpoint: train it first')
    return Run(Path(folder), configs[0], checkpoints[-1])


def detect(run: Run, out: Path, options: Sequence[str]) -> Path:
    """Have tools/test.py write the detections, unless they are newer than the checkpoint.

    Raises:
        UsageError: If it stops.
    """
    found = Path(f'{out}.bbox.json')
    if found.is_file() and found.stat().st_mtime > run.checkpoint.stat().st_mtime:
        return found
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = [f'model.test_cfg.score_thr={LOWEST_SCORE}', f'test_evaluator.outfile_prefix={out}']
    command = [sys.executable, str(TOOLS / 'test.py'), str(run.config), str(run.checkpoint)]
    command += ['--work-dir', f'{out}_test', '--cfg-options', *settings, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f'{run.folder}: test.py stopped: {done.stderr.strip()[-300:]}')
    return found


def judge(run: Run, found: Path, args: argparse.Namespace) -> CalibratedHalf:
    """Calibrate one detector on every second image.

    Raises:
        UsageError: If it found nothing in them.
        CocoFileError: If the detections do not fit the ground truth.
    """
    coco_gt = read_ground_truth(load_config(run, args).test_evaluator.ann_file, 'bbox')
    try:
        return calibrate_half(coco_gt, read_detections(found, coco_gt, 'bbox'), args.method)
    except CalibrationError as error:
        raise UsageError(f'{run.folder}: {error}') from None


def load_config(run: Run, args: argparse.Namespace) -> Config:
    """Config of a run with the settings of the command line."""
    cfg = Config.fromfile(run.config)
    cfg.merge_from_dict(dict(option.split('=', 1) for option in args.cfg_options))
    return cfg


def figures(half: CalibratedHalf) -> dict[str, dict[str, float]]:
    """Figures of the judged half by column, with raw and with calibrated scores."""
    kinds = {'raw': (half.raw, half.before), 'calibrated': (half.calibrated, half.after)}
    found = {}
    for kind, (detections, errors) in kinds.items():
        usual = [det for det in detections if det['score'] > USUAL_SCORE]
        report, cut = (
            evaluate_lrp(half.truth, load_detections(half.truth, some, 'bbox')).summary()
            for some in (detections, usual)
        )
        values = {**report, **errors.summary(), COLUMNS[1]: cut['AP']}
        found[kind] = {column: values[column] for column in COLUMNS}
    return found


def table(rows: dict[str, list[dict]]) -> str:
    """Markdown table: a line for the raw and one for the calibrated scores of each row."""
    lines = ['| row | seeds | scores | ' + ' | '.join(COLUMNS) + ' |']
    lines.append('| --- | ---: | --- |' + ' ---: |' * len(COLUMNS))
    for name, runs in rows.items():
        for kind in ('raw', 'calibrated'):
            cells = []
            for column in COLUMNS:
                values = [run[kind][column] for run in runs]
                spread = statistics.stdev(values) if len(values) > 1 else None
                cells.append(with_spread(statistics.fmean(values), spread))
            lines.append(f'| {name} | {len(runs)} | {kind} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def draw(run: Run, half: CalibratedHalf, args: argparse.Namespace) -> list[Path]:
    """Draw what scores above .3 before and after; return the two sheets."""
    dataset = load_config(run, args).test_dataloader.dataset
    images = dataset_path(dataset, dataset.data_prefix.img)
    sheets = []
    for kind, detections in (('raw', half.raw), ('calibrated', half.calibrated)):
        shown = sorted(
            (det for det in detections if det['score'] > DRAWN_SCORE), key=lambda det: det['score']
        )
        sheets.append(draw_detections(half.truth, shown, images, args.out / kind, 4)[0])
    return sheets


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    args = parse_args(argv)
    try:
        check_method(args.method)
        runs = {
            name: [find_run(folder) for folder in folders.split(',')]
            for name, folders in named_files(args.rows).items()
        }
        if args.picture is not None and args.picture not in runs:
            raise UsageError(f'--picture: there is no row {args.picture}')
        rows: dict[str, list[dict]] = {name: [] for name in runs}
        sheets = []
        for index, (name, seeds) in enumerate(runs.items()):
            for seed, run in enumerate(seeds):
                place = args.out / 'detections' / f'{index}_{seed}'
                half = judge(run, detect(run, place, args.cfg_options), args)
                rows[name].append(figures(half))
                print(f'{name}, {run.folder}: {rows[name][-1]}', flush=True)
                if name == args.picture and seed == 0:
                    sheets = draw(run, half, args)
        text = (
            f'{table(rows)}\n\nMean ± sample standard deviation over the seeds; fitted '
            f'({args.method}) to every second image, judged on the rest.\n'
        )
        write_text(args.out / 'calibration.md', text)
        write_json(args.out / 'calibration.json', {'method': args.method, 'rows': rows})
    except (UsageError, CocoFileError, ModuleNotFoundError, OSError) as error:
        return fail('calibration.py', error)
    print('', text, args.out / 'calibration.md', *sheets, sep='\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
