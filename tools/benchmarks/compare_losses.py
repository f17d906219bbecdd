"""Train configs that differ in their loss, over several seeds, and write one table of the results.

A second start goes on: finished runs are kept, an interrupted one resumes from its checkpoint. The
first config is the baseline; the second table shows the differences to it, seed by seed. The third
has raw and calibrated scores, fitted to every second validation image and judged on the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
from analysis.calibrated_half import calibrate_half
from analysis.training_log import read_log
from frame import count, markdown
from mmengine.config import Config
from pycocotools.coco import COCO

from mmdet_alrp.atomic_write import write_file
from mmdet_alrp.calibration import CalibrationError
from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.command_line import OneLineParser, UsageError
from mmdet_alrp.evaluation import CalibrationReport, evaluate_lrp, load_detections
from mmdet_alrp.evaluation.coco_files import read_detections, read_ground_truth
from mmdet_alrp.evaluation.json_files import write_json

# Columns of the table, and what the log of a validation calls them
LOGGED = {
    'AP': 'bbox_mAP',
    'AP50': 'bbox_mAP_50',
    'AP75': 'bbox_mAP_75',
    'AP_s': 'bbox_mAP_s',
    'AP_m': 'bbox_mAP_m',
    'AP_l': 'bbox_mAP_l',
    'oLRP': 'bbox_oLRP',
    'Loc': 'bbox_oLRP_Loc',
    'FP': 'bbox_oLRP_FP',
    'FN': 'bbox_oLRP_FN',
    'rho': 'bbox_rho',
}
COLUMNS = (*LOGGED, 'LaECE', 'LaECE calibrated')
USUAL_SCORE = 0.05  # MMDetection's score_thr
OF_SCORES = {
    'AP': 'AP',
    f'AP at score > {USUAL_SCORE}': 'cut',
    'oLRP': 'oLRP',
    'LaECE': 'LaECE_0',
    'LaACE': 'LaACE_0',
    'D-ECE': 'D_ECE',
}
KINDS = ('raw', 'calibrated')


class Run(NamedTuple):
    """One config with one seed.

    Args:
        config: Its file.
        seed: Seed of the run.
        folder: Work dir of the run.
        options: Options of tools/train.py that all runs share.
        digest: Of all that the config says.
    """

    config: Path
    seed: int
    folder: Path
    options: tuple[str, ...]
    digest: str

    def command(self) -> list[str]:
        """Command line of the training."""
        settings = [f'randomness.seed={self.seed}']
        settings += [f'val_evaluator.outfile_prefix={self.folder / "val"}']
        command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(self.config), '--resume']
        # --cfg-options of the user come last in ``options`` and take ours as well.
        return [*command, '--work-dir', str(self.folder), *self.options, *settings]

    def figures(self) -> dict[str, float | None] | None:
        """Figures of the finished run; None if this very run is not finished."""
        stored = self._stored()
        return stored.get('figures') if self._is_of_this_run(stored) else None

    def _stored(self) -> dict:
        try:
            return json.loads((self.folder / 'figures.json').read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}

    def _is_of_this_run(self, stored: dict) -> bool:
        same = stored.get('digest', self.digest) == self.digest
        return same and stored.get('options', list(self.options)) == list(self.options)

    def finish(self) -> dict[str, float | None]:
        """Train, read the last validation and keep its figures.

        Raises:
            UsageError: If it stops, or the folder has a run of another config or other options.
        """
        if not self._is_of_this_run(self._stored()):
            raise UsageError(
                f'{self.folder} was begun with another config or other options: name another '
                '--work-dir, or remove it'
            )
        note = {'options': list(self.options), 'digest': self.digest, 'figures': None}
        write_json(self.folder / 'figures.json', note)
        log = self.folder / 'output.log'
        with open(log, 'a', encoding='utf-8') as file:
            environment = {'OMP_NUM_THREADS': '1', **os.environ}
            done = subprocess.run(self.command(), stdout=file, stderr=file, env=environment)
        if done.returncode:
            lines = log.read_text(encoding='utf-8', errors='replace').split('\n')
            last = next((line for line in reversed(lines) if line.strip()), 'no output')
            raise UsageError(f'{self.folder}: train.py stopped ({last[:200]}); see {log}')
        figures = {**self._validation(), **self._calibration()}
        write_json(self.folder / 'figures.json', {**note, 'figures': figures})
        return figures

    def _validation(self) -> dict[str, float | None]:
        last = {
            key.rpartition('/')[2]: value for key, value in read_log(self.folder).val[-1].items()
        }
        return {name: _number(last.get(key)) for name, key in LOGGED.items()}

    def _calibration(self) -> dict[str, float | None]:
        cfg = Config.fromfile(next(self.folder.glob('*.py')))
        truth = read_ground_truth(cfg.val_evaluator.ann_file, 'bbox')
        found = read_detections(self.folder / 'val.bbox.json', truth, 'bbox')
        try:
            half = calibrate_half(truth, found)
        except CalibrationError:  # it found nothing
            return dict.fromkeys(COLUMNS[-2:])
        kinds = ((half.raw, half.before), (half.calibrated, half.after))
        scores = [of_scores(half.truth, *kind) for kind in kinds]
        errors = dict(zip(COLUMNS[-2:], (own['LaECE'] for own in scores), strict=True))
        return {**errors, **dict(zip(KINDS, scores, strict=True))}


def of_scores(
    truth: COCO, detections: list[dict], errors: CalibrationReport
) -> dict[str, float | None]:
    """Figures of the judged half by column of the third table."""
    usual = [det for det in detections if det['score'] > USUAL_SCORE]
    report, cut = (
        evaluate_lrp(truth, load_detections(truth, some, 'bbox')).summary()
        for some in (detections, usual)
    )
    values = {**report, **errors.summary(), 'cut': cut['AP']}
    return {column: _number(values[key]) for column, key in OF_SCORES.items()}


def _number(value: float | None) -> float | None:
    """A figure, or None where it is not defined, such as AP of sizes that do not occur."""
    return None if value is None or math.isnan(value) or value == -1 else value


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__, prog='compare_losses.py')
    parser.add_argument('configs', nargs='+', type=Path, metavar='CONFIG', help='baseline first')
    parser.add_argument('--work-dir', type=Path, required=True, help='for the runs and the table')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--jobs', type=count, default=1, help='trainings side by side')
    parser.add_argument('--data-root', help='as in tools/train.py')
    parser.add_argument('--backbone-weights', help='as in tools/train.py')
    parser.add_argument('--amp', action='store_true', help='as in tools/train.py')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='for every run'
    )
    return parser.parse_args(argv)


def plan(args: argparse.Namespace) -> list[Run]:
    """List the runs, seed by seed, so that every config has results early.

    Raises:
        UsageError: If a config is missing, or two have one name.
    """
    if ' ' in str(args.work_dir):  # MMEngine takes spaces out of what --cfg-options sets
        raise UsageError(f'--work-dir must be without spaces, got {str(args.work_dir)!r}')
    missing = [str(config) for config in args.configs if not config.is_file()]
    if missing:
        raise UsageError(f'there is no config file {missing[0]}')
    names = [config.stem for config in args.configs]
    if len({*names}) < len(names) or len({*args.seeds}) < len(args.seeds):
        raise UsageError('a config or a seed is named twice')
    options = ['--amp'] * args.amp
    for name in ('data_root', 'backbone_weights'):
        value = getattr(args, name)
        options += [f'--{name.replace("_", "-")}', value] if value else []
    options += ['--cfg-options', *args.cfg_options]
    digests = {config: digest_of(config) for config in args.configs}
    return [
        Run(config, seed, args.work_dir / config.stem / f'seed{seed}', tuple(options), digest)
        for seed in args.seeds
        for config, digest in digests.items()
    ]


def digest_of(config: Path) -> str:
    """Digest of all that a config says, with what it inherits."""
    content = json.dumps(Config.fromfile(config).to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def report(runs: Sequence[Run], command: str) -> str:
    """Tables of all finished runs in Markdown: means, differences to the baseline, scores."""
    found: dict[str, dict[int, dict]] = {run.config.stem: {} for run in runs}
    for run in runs:
        figures = run.figures()
        if figures is not None:
            found[run.config.stem][run.seed] = figures
    baseline = next(iter(found))
    means, differences, scores = [], [], []
    for name, by_seed in found.items():
        cells = [_cell([own[column] for own in by_seed.values()]) for column in COLUMNS]
        means.append([name, len(by_seed), *cells])
        for kind in KINDS:
            judged = [own[kind] for own in by_seed.values() if kind in own]
            cells = [_cell([own[column] for own in judged]) for column in OF_SCORES]
            scores.append([name, kind, len(judged), *cells])
        if name != baseline:
            pairs = [(own, found[baseline].get(seed)) for seed, own in by_seed.items()]
            pairs = [(own, other) for own, other in pairs if other is not None]
            cells = [
                _cell([_minus(own[column], other[column]) for own, other in pairs], sign='+')
                for column in COLUMNS
            ]
            differences.append([name, len(pairs), *cells])
    parts = [
        markdown(['config', 'seeds', *COLUMNS], means),
        f'Differences to `{baseline}`, seed by seed:',
        markdown(['config', 'seeds', *COLUMNS], differences),
        'Fitted to every second validation image, judged on the rest:',
        markdown(['config', 'scores', 'seeds', *OF_SCORES], scores, left=2),
        f'Mean ± sample standard deviation over the seeds, {time.strftime("%Y-%m-%d")}:',
        f'```\n{command}\n```\n',
    ]
    return '\n\n'.join(parts)


def _minus(own: float | None, other: float | None) -> float | None:
    return None if own is None or other is None else own - other


def _cell(values: Sequence[float | None], sign: str = '') -> str:
    known = [value for value in values if value is not None]
    if not known:
        return '-'
    text = f'{statistics.fmean(known):{sign}.3f}'
    return f'{text} ± {statistics.stdev(known):.3f}' if len(known) > 1 else text


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is not finished and write the table after every run."""
    args = parse_args(argv)
    runs = plan(args)
    words = ['python', 'tools/benchmarks/compare_losses.py']
    command = shlex.join([*words, *(sys.argv[1:] if argv is None else argv)])
    todo = [run for run in runs if run.figures() is None]
    print(f'{len(runs)} runs, {len(runs) - len(todo)} of them finished', flush=True)
    failures = []
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = {pool.submit(run.finish): run for run in todo}
        for future in as_completed(futures):
            run = futures[future]
            try:
                figures = future.result()
            except (UsageError, OSError) as error:
                failures.append(error)
                print(f'FAILED: {error}', flush=True)
                continue
            shown = ', '.join(f'{key} {figures[key]}' for key in ('AP', 'oLRP', 'rho'))
            print(f'{run.config.stem} seed {run.seed}: {shown}', flush=True)
            write_file(args.work_dir / 'table.md', report(runs, command))
    print(report(runs, command))
    if failures:
        raise UsageError(f'{len(failures)} runs failed; the same command goes on from there')


if __name__ == '__main__':
    sys.exit(exit_status_of(main, 'compare_losses.py'))
