"""A training run that knows whether it is finished: reused, resumed or begun, as it was left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.evaluation.json_files import write_json

TOOLS = Path(__file__).resolve().parents[1]
TRAIN_STEP = re.compile(r'Epoch\(train\)\s+\[\s*(\d+)\]\[\s*(\d+)/(\d+)\].*?eta: (.+?)\s\s')
STEP_FIGURES = ('loss', 'loss_cls', 'loss_bbox', 'self_balance_ratio')
EVALUATION = re.compile(r'Epoch\((?:val|test)\).*coco/bbox_mAP: ')
EVAL_FIGURES = {'coco/bbox_mAP': 'AP', 'coco/bbox_mAP_50': 'AP50', 'coco/bbox_oLRP': 'oLRP'}


@dataclass(frozen=True)
class TrackedRun:
    """One run of one config in a folder of its own.

    Args:
        name: What the user knows it as.
        folder: Work dir of the run.
        cfg: Config with all changes; it is written beside the folder, which tells runs apart.
        data_stamp: What describes the data set; another one makes another run.
        amp: Train with mixed precision.
    """

    name: str
    folder: Path
    cfg: Config
    data_stamp: str = ''
    amp: bool = False

    @property
    def config_file(self) -> Path:
        """Config that the tools are started with."""
        return self.folder.parent / f'{self.folder.name}_config.py'

    @property
    def epochs(self) -> int:
        """Length of the run."""
        return self.cfg.train_cfg.max_epochs

    def digest(self) -> str:
        """What tells the run from one with another config, data set or precision."""
        content = json.dumps(self.cfg.to_dict(), sort_keys=True, default=str)
        return hashlib.sha256(f'{content} {self.data_stamp} {self.amp}'.encode()).hexdigest()

    def note(self) -> dict:
        """What is noted of the run in the folder; empty if there is none."""
        try:
            note = json.loads((self.folder / 'demo_run.json').read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def checkpoint(self) -> Path | None:
        """The run's last checkpoint, if there is one."""
        try:
            path = Path((self.folder / 'last_checkpoint').read_text(encoding='utf-8').strip())
        except OSError:
            return None
        moved = self.folder / path.name  # the folder may have been moved since
        return next((file for file in (moved, path) if file.is_file()), None)

    def is_finished(self) -> bool:
        """Whether this very run is there, to its end."""
        note = self.note()
        same = note.get('digest') == self.digest()
        return same and bool(note.get('finished')) and self.checkpoint() is not None

    def train(self, retrain: bool = False) -> None:
        """Train to the end, unless that was done; an interrupted run goes on.

        A run of another config that lies in the folder is moved to ``<folder>_previous``.

        Raises:
            UsageError: If the training stops, or goes on in another process.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.folder.parent / f'.{self.folder.name}.lock') as lock:
            if self.is_finished() and not retrain:
                print(f'{self.name}: a finished run is in {self.folder}; reused (--retrain: anew)')
                return
            if retrain or self.note().get('digest') != self.digest():
                self._move_aside()
            checkpoint = self.checkpoint()
            how = f'going on from {checkpoint}' if checkpoint else f'training {self.epochs} epochs'
            print(f'{self.name}: {how}; the whole log is in {self.folder}', flush=True)
            self.cfg.dump(self.config_file)
            seconds = self.note().get('seconds', 0.0)
            note = {'digest': self.digest(), 'finished': False, 'seconds': seconds}
            self._write_note(note)
            started = time.monotonic()
            options = ['--work-dir', str(self.folder), '--resume', *['--amp'] * self.amp]
            try:
                self._start('train.py', options, lock)
                note['finished'] = True
            finally:
                note['seconds'] += time.monotonic() - started
                self._write_note(note)

    def evaluate(self) -> None:
        """Evaluate the last checkpoint with tools/test.py, unless that was done.

        Raises:
            UsageError: If the checkpoint is gone, or the test stops.
        """
        checkpoint, note = self.checkpoint(), self.note()
        if checkpoint is None:
            raise UsageError(f'{self.folder}: the checkpoint is gone: use --retrain')
        if note.get('evaluated') == checkpoint.name:
            return
        self.cfg.dump(self.config_file)
        print(f'{self.name}: evaluating {checkpoint}', flush=True)
        self._start('test.py', [str(checkpoint), '--work-dir', str(self.folder / 'test')])
        self._write_note({**note, 'evaluated': checkpoint.name})

    def _write_note(self, note: dict) -> None:
        write_json(self.folder / 'demo_run.json', note)

    def _move_aside(self) -> None:
        if not self.folder.exists():
            return
        previous = self.folder.with_name(f'{self.folder.name}_previous')
        if previous.exists():
            shutil.rmtree(previous)
        self.folder.rename(previous)
        print(f'{self.name}: what was in {self.folder} is now in {previous}')

    def _start(self, tool: str, options: list[str], lock: int | None = None) -> None:
        """Run one of the tools on the config; show its progress, keep all that it prints."""
        command = [sys.executable, str(TOOLS / tool), str(self.config_file), *options]
        log = self.folder / f'{Path(tool).stem}_output.log'
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            # The lock stays taken for as long as the training runs, even if we are killed.
            pass_fds=() if lock is None else (lock,),
        )
        last = ''
        try:
            with open(log, 'a', encoding='utf-8') as file:
                for line in process.stdout:
                    file.write(line)
                    last = line.strip() or last
                    shown = progress_line(line, self.epochs)
                    if shown:
                        print(f'{self.name}: {shown}', flush=True)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.wait() != 0:
            raise UsageError(f'{tool} stopped ({last[:200]}); everything it said is in {log}')


def progress_line(line: str, epochs: int) -> str:
    """What a user wants to see of a line of MMEngine's log; empty for most lines."""
    figures = dict(re.findall(r'(\S+): (-?[\d.]+(?:e[+-]?\d+)?)', line))
    step = TRAIN_STEP.search(line)
    if step:
        epoch, done, total, eta = step.groups()
        shown = '  '.join(f'{key} {figures[key]}' for key in STEP_FIGURES if key in figures)
        width = len(str(epochs))
        return f'epoch {epoch:>{width}}/{epochs}  {done:>{len(total)}}/{total}  ETA {eta}  {shown}'
    if EVALUATION.search(line):
        known = [(name, figures[key]) for key, name in EVAL_FIGURES.items() if key in figures]
        kind = 'validation' if 'Epoch(val)' in line else 'final evaluation'
        return f'{kind}: ' + '  '.join(f'{name} {value}' for name, value in known)
    return ''


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold a lock file; yield its descriptor.

    Args:
        path: The file, made if need be.

    Yields:
        The descriptor; a process that inherits it holds the lock too.

    Raises:
        UsageError: If another process holds it.
    """
    with open(path, 'a', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f'{path.parent}: a training goes on there in another process: wait for its end, '
                'stop it, or take another --work-dir'
            ) from None
        yield file.fileno()
