"""The training runs of the ablation: started, resumed, stopped and read."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import torch
from analysis.plot_training import TrainingLog, read_log
from analysis.tracked_run import TOOLS, TrackedRun

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.cli.checkpoint_files import check_checkpoint
from mmdet_alrp.command_line import UsageError
from mmdet_alrp.guards.checkpoint_safety import load_safely

# What the log of a validation calls the columns of the table
FIGURES = {
    'AP': 'bbox_mAP',
    'AP50': 'bbox_mAP_50',
    'AP75': 'bbox_mAP_75',
    'oLRP': 'bbox_oLRP',
    'Loc': 'bbox_oLRP_Loc',
    'FP': 'bbox_oLRP_FP',
    'FN': 'bbox_oLRP_FN',
    'rho': 'bbox_rho',
}
ONE_THREAD = {'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'}


class Children:
    """Processes that were started here, so that all of them can be stopped together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    def run(self, command: list[str], log: Path, descriptors: tuple[int, ...] = ()) -> None:
        """Run a command on one thread to its end; append all that it prints to a file.

        Raises:
            UsageError: If it fails or is stopped, with the last line that it printed.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, 'a', encoding='utf-8') as file:
            with self._lock:
                if self._stopped:
                    raise UsageError('not started: the ablation was stopped')
                process = subprocess.Popen(
                    command,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **ONE_THREAD},
                    pass_fds=descriptors,
                )
                self._running.add(process)
            try:
                status = process.wait()
            finally:
                with self._lock:
                    self._running.discard(process)
        if status:
            how = f'signal {-status}' if status < 0 else last_line(log)
            raise UsageError(f'{Path(command[1]).name} stopped ({how}); see {log}')

    def stop(self) -> None:
        """End all of them, and start none any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


def last_line(log: Path, length: int = 200) -> str:
    """Last line of a log that is not empty, cut to ``length`` characters."""
    lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
    return next((line.strip()[:length] for line in reversed(lines) if line.strip()), 'no output')


@dataclass(frozen=True)
class AblationRun(TrackedRun):
    """One row with one seed; quiet, and finished only when its figures are known.

    Args:
        row: Key of the rows.
        seed: Seed of the run.
        children: Where its process is listed.
    """

    row: str = ''
    seed: int = 0
    children: Children = field(default_factory=Children)

    def is_finished(self) -> bool:
        """Whether this very run is there, to its end; its checkpoint may be gone."""
        note = self.note()
        same = note.get('digest') == self.digest()
        return same and bool(note.get('finished')) and self.figures() is not None

    def state(self) -> str:
        """In a word: finished, begun or new."""
        if self.is_finished():
            return 'finished'
        same = self.note().get('digest') == self.digest()
        return 'begun' if same and self.checkpoint() else 'new'

    def figures(self) -> dict[str, float | None] | None:
        """Figures of the validation after the last epoch; None if there was none.

        A figure that is not defined, such as rho without true positives, is None.
        """
        log = self._log()
        rows = [row for row in log.val if row['step'] == self.epochs] if log else []
        if not rows:
            return None
        found = {key.rpartition('/')[2]: value for key, value in rows[-1].items()}
        values = {name: found.get(key) for name, key in FIGURES.items()}
        return {k: None if v is None or math.isnan(v) else v for k, v in values.items()}

    def outcome(self) -> dict:
        """What the report keeps of the run, in whatever state it is."""
        known = {'row': self.row, 'seed': self.seed, 'config': Path(self.cfg.filename).name}
        if not self.is_finished():
            return {**known, 'state': self.state()}
        times = [row['time'] for row in self._log().train if row.get('time')]
        return {
            **known,
            'state': 'finished',
            'figures': self.figures(),
            'seconds': round(self.note().get('seconds', 0.0), 1),
            'logged_step_seconds': statistics.median(times) if times else None,
        }

    def finish(self) -> dict:
        """Train to the end, unless that was done; a failure is an outcome too."""
        try:
            if not self.is_finished():
                self.train()
                self._drop_optimiser()
                if self.figures() is None:
                    raise UsageError(f'the log in {self.folder} has no validation at its end')
        except (UsageError, OSError) as error:
            reason = ' '.join(str(error).split())
            return {**self.outcome(), 'state': 'failed', 'reason': reason}
        return self.outcome()

    def _log(self) -> TrainingLog | None:
        try:
            return read_log(self.folder)
        except UsageError:
            return None  # nothing was logged yet

    def _drop_optimiser(self) -> None:
        """Keep the weights alone: with the optimiser's state, many runs fill a disk."""
        path = self.checkpoint()
        if path is None:
            return
        check_checkpoint(str(path), 'the finished run')
        whole = load_safely(path)
        with atomic_write(path) as draft:
            torch.save({'meta': whole['meta'], 'state_dict': whole['state_dict']}, draft)

    def _start(self, tool: str, options: list[str], lock: int | None = None) -> None:
        command = [sys.executable, str(TOOLS / tool), str(self.config_file), *options]
        log = self.folder / f'{Path(tool).stem}_output.log'
        # The lock stays taken for as long as the training runs, even if we are killed.
        self.children.run(command, log, () if lock is None else (lock,))
