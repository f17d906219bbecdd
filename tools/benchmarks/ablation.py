"""Train the losses of the ablation with the same budget and write the table of their results.

The rows are those of the aLRP paper's Table 2 and the further losses of this package. A second
start with the same settings goes on: what is finished is not repeated, what was interrupted starts
from its last checkpoint. After every run, ablation.json and ablation.md in the work dir are new.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools'))  # the runs are those of the demo
if find_spec('mmdet_alrp') is None:  # not installed: the package lies two folders up
    sys.path.insert(0, str(ROOT))

try:
    import torch
    from ablation_rows import DATA_ROOTS, ROWS, TABLE_ROWS, TWIN, Settings, data_stamp, row_config
    from ablation_runs import AblationRun, Children
    from ablation_table import markdown, summary, write_text
    from analysis.tracked_run import locked
    from figures import count, name_machine
    from mmengine.config import Config

    from mmdet_alrp.cli.exit_status import exit_status_of
    from mmdet_alrp.cli.run_options import ConfigOptions
    from mmdet_alrp.command_line import OneLineParser, UsageError
    from mmdet_alrp.engine.bfloat16 import cpu_has_bfloat16
    from mmdet_alrp.evaluation.json_files import write_json
except ImportError as misfit:  # the package says which version does not fit, and what to do
    print(f'ablation.py: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)

NOTES = (
    '{data}, {epochs} epochs of every run, seeds {seeds}, {precision}, one thread a run on '
    '{machine}, PyTorch {torch}, {date}. SB: self-balance. Figures are those of the validation '
    'after the last epoch. Times of a step are processor times of interleaved steps on one batch, '
    'on one thread, from random weights. Made by `{command}`.'
)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the ablation."""
    parser = OneLineParser(description=__doc__, prog='ablation.py')
    parser.add_argument('--data', choices=DATA_ROOTS, required=True)
    parser.add_argument('--data-root', type=Path, help='folder of the data set (data/NAME)')
    parser.add_argument('--rows', nargs='+', choices=ROWS, default=TABLE_ROWS)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--workers', type=count, default=2, help='runs side by side')
    parser.add_argument('--epochs', type=count, help='length of a run (as the configs say)')
    parser.add_argument('--work-dir', type=Path, help='(work_dirs/ablation_NAME)')
    parser.add_argument(
        '--amp',
        action=argparse.BooleanOptionalAction,
        default=not torch.cuda.is_available() and cpu_has_bfloat16(),
        help='mixed precision (on a CPU with instructions for bfloat16)',
    )
    parser.add_argument('--repeat', type=count, default=7, help='steps that are timed')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE')
    parser.add_argument(
        '--dry-run', action='store_true', help='list the runs and time a few steps of each row'
    )
    args = parser.parse_args(argv)
    for name in ('rows', 'seeds'):
        if len(set(getattr(args, name))) < len(getattr(args, name)):
            parser.error(f'--{name} names one twice')
    args.data_root = args.data_root or DATA_ROOTS[args.data]
    args.work_dir = args.work_dir or Path(f'work_dirs/ablation_{args.data}')
    return args


class Ablation:
    """The runs of a table, their outcomes and their report.

    Args:
        args: Command line.
        children: Where the processes are listed.
    """

    def __init__(self, args: argparse.Namespace, children: Children) -> None:
        self.args, self.children = args, children
        self.folder: Path = args.work_dir
        self._settings = Settings(
            args.data, args.data_root, args.epochs, args.amp, args.cfg_options or {}
        )
        self._stamp = data_stamp(args.data_root)
        self._configs: dict[str, Config] = {}
        self.runs = [self._run(row, seed) for seed in args.seeds for row in args.rows]
        # Rows that an earlier start has finished stay in the table.
        others = (row for row in ROWS if row not in args.rows)
        older = [self._run(row, seed) for row in others for seed in args.seeds]
        kept = [run for run in older if run.is_finished()]
        self.outcomes = {run.name: run.outcome() for run in [*kept, *self.runs]}
        self.epochs = self.runs[0].epochs
        self.steps: dict[str, dict] = {}

    def _run(self, row: str, seed: int) -> AblationRun:
        if row not in self._configs:
            self._configs[row] = row_config(row, self._settings)
        cfg = deepcopy(self._configs[row])
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
        name = f'{row} seed {seed}'
        folder = self.folder / row / f'seed{seed}'
        return AblationRun(
            name, folder, cfg, self._stamp, row=row, seed=seed, children=self.children
        )

    def train(self) -> None:
        """Train what is not finished, so many runs side by side."""
        todo = [run for run in self.runs if not run.is_finished()]
        print(f'{len(self.runs)} runs, {len(self.runs) - len(todo)} of them finished', flush=True)
        self.write_report()
        started = time.monotonic()
        with ThreadPoolExecutor(self.args.workers) as pool:
            futures = {pool.submit(run.finish): run for run in todo}
            try:
                for done, future in enumerate(as_completed(futures), 1):
                    run = futures[future]
                    self.outcomes[run.name] = future.result()
                    self.write_report()
                    spent = time.monotonic() - started
                    left = time_left(spent, done, len(todo), self.args.workers)
                    print(progress_line(self.outcomes[run.name], done, len(todo), left), flush=True)
            except BaseException:
                self.children.stop()
                pool.shutdown(cancel_futures=True)
                raise

    def time_steps(self) -> None:
        """Time steps of all rows in one process, unless exactly that was done.

        Raises:
            UsageError: If it fails.
        """
        folder = self.folder / 'steps'
        folder.mkdir(parents=True, exist_ok=True)
        in_table = {outcome['row'] for outcome in self.outcomes.values()} | {TWIN}
        # The twin is the first: the others are told by their ratios to it.
        rows = [TWIN, *(row for row in ROWS if row in in_table and row != TWIN)]
        runs = [self._run(row, self.args.seeds[0]) for row in rows]
        digest = ' '.join([str(self.args.repeat), *(run.digest() for run in runs)])
        out = folder / 'steps.json'
        timed = read_json(out)
        if timed.get('digest') != digest:
            configs = [folder / f'{row}.py' for row in rows]
            for run, path in zip(runs, configs, strict=True):
                run.cfg.dump(path)
            command = [sys.executable, str(Path(__file__).with_name('ablation_steps.py'))]
            command += [*map(str, configs), '--repeat', str(self.args.repeat), '--json', str(out)]
            print(f'timing {self.args.repeat} steps of {len(rows)} rows', flush=True)
            self.children.run(command, folder / 'output.log')
            timed = {'digest': digest, **read_json(out)}
            write_json(out, timed)
        self.steps = dict(zip(rows, timed['rows'], strict=True))

    def write_report(self) -> None:
        """Write ablation.json and ablation.md."""
        outcomes = list(self.outcomes.values())
        lines = summary(outcomes, {row: timed['ratio'] for row, timed in self.steps.items()})
        setting = self.describe()
        content = {**setting, 'table': lines, 'runs': outcomes, 'steps': self.steps}
        write_json(self.folder / 'ablation.json', content)
        title = f'Ablation of the losses on {self.args.data}'
        text = markdown(title, lines, outcomes, NOTES.format(**setting))
        write_text(self.folder / 'ablation.md', text)

    def describe(self) -> dict[str, str | int]:
        """How the figures were made."""
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        half = 'float16' if device.type == 'cuda' else 'bfloat16'
        return {
            'data': self.args.data,
            'epochs': self.epochs,
            'seeds': ', '.join(map(str, self.args.seeds)),
            'precision': f'mixed precision ({half})' if self.args.amp else 'float32',
            'machine': name_machine(device),
            'torch': torch.__version__,
            'date': time.strftime('%Y-%m-%d'),
            'command': reproducing_command(self.args),
        }

    def cost_lines(self) -> list[str]:
        """State and estimated cost of every run, from timed steps."""
        lines, total = [], 0.0
        for run in self.runs:
            timed, state = self.steps[run.row], run.state()
            step = statistics.median(timed['seconds'])
            epoch = timed['num_steps'] * step
            judge = timed['num_val_steps'] * timed['predict_seconds']
            cost = run.epochs * epoch + judge
            total += 0 if state == 'finished' else cost
            lines.append(
                f'{run.name}: {state}; {run.cfg.train_cfg.max_epochs} epochs of '
                f'{epoch:.0f} s ({1000 * step:.0f} ms a step), validation {judge:.0f} s, '
                f'together {cost / 60:.1f} minutes'
            )
        shared = total / self.args.workers / 60
        lines.append(
            f'to do: {total / 60:.0f} minutes on one thread, about {shared:.0f} with '
            f'{self.args.workers} at a time on as many free cores, without loading and starting up'
        )
        return lines


def time_left(spent: float, done: int, total: int, workers: int) -> float:
    """Seconds until all runs have ended, told when one has just ended; runs take equal times."""
    running = max(0, min(workers, total - done + 1) - 1)  # beside the one that ended
    progress = done + running / 2  # they are halfway, on average
    return spent * (total - progress) / progress


def progress_line(outcome: dict, done: int, total: int, left: float) -> str:
    """What to say when a run has ended; ``left`` in seconds."""
    name = f'[{done}/{total}] {outcome["row"]} seed {outcome["seed"]}'
    if outcome['state'] == 'failed':
        said = f'FAILED: {outcome["reason"]}'
    else:
        shown = ('AP', 'oLRP', 'rho')
        values = [(figure, outcome['figures'][figure]) for figure in shown]
        said = ', '.join(f'{key} {value:.3f}' for key, value in values if value is not None)
        said += f', {outcome["seconds"] / 60:.1f} minutes'
    return f'{name}: {said}; ETA {left / 60:.0f} minutes'


def reproducing_command(args: argparse.Namespace) -> str:
    """Command line that gives the figures again; folders have no part in them."""
    words = ['python', 'tools/benchmarks/ablation.py', '--data', args.data]
    words += [] if args.rows == TABLE_ROWS else ['--rows', *args.rows]
    words += ['--seeds', *map(str, args.seeds), '--workers', str(args.workers)]
    words += ['--epochs', str(args.epochs)] if args.epochs else []
    words += ['--amp' if args.amp else '--no-amp']
    if args.cfg_options:
        words += ['--cfg-options', *(f'{key}={value}' for key, value in args.cfg_options.items())]
    return shlex.join(words)


def read_json(path: Path) -> dict:
    """Content of a file; empty if there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def stop(signum: int, frame: FrameType | None) -> NoReturn:
    """Turn a request to end into an exception, so that the runs are ended too."""
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> None:
    """Run the ablation."""
    args = parse_args(argv)
    children = Children()
    try:
        args.work_dir.mkdir(parents=True, exist_ok=True)
        with locked(args.work_dir / '.ablation.lock'):
            ablation = Ablation(args, children)
            if args.dry_run:
                ablation.time_steps()
                print('\n'.join(ablation.cost_lines()))
                return
            ablation.train()
            ablation.time_steps()
            ablation.write_report()
    except OSError as error:
        raise UsageError(' '.join(str(error).split())) from None
    except KeyboardInterrupt:
        children.stop()
        raise
    print(args.work_dir / 'ablation.md')
    failed = [run for run in ablation.outcomes.values() if run['state'] == 'failed']
    if failed:
        raise UsageError(f'{len(failed)} runs failed: see {args.work_dir / "ablation.md"}')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, stop)
    try:
        status = exit_status_of(main, 'ablation.py')
    except KeyboardInterrupt:
        print('\nablation.py: interrupted; the same command goes on from here', file=sys.stderr)
        status = 130
    sys.exit(status)
