"""Choice of the interpreter, and the virtual environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from environment.progress import Progress, SetupError

OLDEST, NEWEST = (3, 10), (3, 13)
SPAN = f'{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}'
MARKER = 'made-by-mmdet_alrp'
ASK_VERSION = 'import json, sys; print(json.dumps([sys.version_info[:2], sys.executable]))'


def ask_version(python: str) -> tuple[tuple[int, int], str] | None:
    """Return version and path of an interpreter; None if it does not run."""
    try:
        answer = subprocess.run(
            [python, '-c', ASK_VERSION], capture_output=True, text=True, timeout=30, check=True
        )
        version, path = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (version[0], version[1]), path


def fits(version: tuple[int, int]) -> bool:
    """Say whether the project supports a Python version."""
    return OLDEST <= version <= NEWEST


def find_python(wanted: str = '') -> str:
    """Return an interpreter that fits: the wanted one, else this one, else one on the PATH."""
    candidates = [wanted] if wanted else [sys.executable]
    if not wanted:
        candidates += ['python3.11', 'python3.12', 'python3.13', 'python3.10']
    for candidate in candidates:
        answer = ask_version(candidate)
        if answer and fits(answer[0]):
            return answer[1]
        if wanted:
            found = f'is Python {answer[0][0]}.{answer[0][1]}' if answer else 'does not run'
            raise SetupError(f'PYTHON={wanted} {found}; Python {SPAN} is needed')
    raise SetupError(
        f'no Python {SPAN} found; install one (and its venv package), '
        'or name it: make PYTHON=/path/to/python3.11'
    )


class PythonEnv:
    """A virtual environment: ours (made here, its versions follow the pins) or the user's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / 'bin' / 'python'
        self.logs = folder / 'setup-logs'
        self.compiled = False  # whether mmcv's operators are compiled, or are to be

    @property
    def is_ours(self) -> bool:
        """Whether set-up made this environment."""
        return (self.folder / MARKER).exists()

    def works(self) -> bool:
        """Say whether its interpreter and pip run."""
        try:
            command = [str(self.python), '-c', 'import pip']
            return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def ensure(self, wanted_python: str) -> None:
        """Make the environment if it is missing; make ours again if it was left half made."""
        if self.works():
            self.refuse_unfit()
            return
        if self.folder.exists() and not self.is_ours and os.listdir(self.folder):
            raise SetupError(
                f'{self.folder} exists, but no Python with pip runs in it; '
                'remove it or name another folder with VENV='
            )
        python = find_python(wanted_python)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.create(python)

    def refuse_unfit(self) -> None:
        """Raise if the environment's Python is too old or too new."""
        answer = ask_version(str(self.python))
        if answer is None or not fits(answer[0]):
            version = '.'.join(map(str, answer[0])) if answer else 'unknown'
            raise SetupError(
                f'{self.folder} has Python {version}; {SPAN} is needed. Remove it, or name '
                'another environment with VENV='
            )

    def create(self, python: str) -> None:
        """Make the environment with the given interpreter."""
        try:
            self.folder.mkdir(parents=True)
            # The mark comes first, so that a later run may clear away a half-made environment.
            (self.folder / MARKER).write_text('', encoding='utf-8')
        except OSError as error:
            raise SetupError(f'cannot make {self.folder}: {error.strerror}') from error
        progress = Progress(self.logs / 'venv.log')
        progress.step(f'Making the environment {self.folder} with {python}')
        if progress.run([python, '-m', 'venv', str(self.folder)]) != 0 or not self.works():
            raise SetupError(
                f'{python} cannot make a virtual environment, see {progress.log}; on Debian and '
                'Ubuntu install python3-venv (the one of your version, such as python3.11-venv)'
            )

    def ask(self, script: str, **variables: str) -> str:
        """Run a small script with the environment's Python and return what it prints last."""
        answer = subprocess.run(
            [str(self.python), '-W', 'ignore', '-c', script],
            capture_output=True,
            text=True,
            env={**os.environ, **variables},
        )
        if answer.returncode != 0:
            last = (answer.stderr.strip().splitlines() or ['no message'])[-1]
            raise SetupError(f'{self.python} fails: {last}')
        return answer.stdout.strip().splitlines()[-1] if answer.stdout.strip() else ''
