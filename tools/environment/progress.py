"""What set-up shows on the terminal, and where it keeps the rest."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class SetupError(Exception):
    """A failure that the user can mend; the message says how."""


class Progress:
    """Print one line a step, and keep the output of the commands behind it in a log file."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.start = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text('', encoding='utf-8')

    def step(self, text: str) -> None:
        """Announce a step."""
        print(f'[{time.monotonic() - self.start:4.0f} s] {text}', flush=True)

    def run(
        self,
        command: Sequence[str],
        env: dict[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> int:
        """Run a command into the log; return its exit status.

        Args:
            command: Program and arguments.
            env: Environment variables that differ from this process's.
            on_line: Called with every line of output.
        """
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            text=True,
            encoding='utf-8',
            errors='replace',
        )
        with self.log.open('a', encoding='utf-8') as file, process:
            file.write('$ ' + ' '.join(str(part) for part in command) + '\n')
            for line in process.stdout:
                file.write(line)
                file.flush()
                if on_line is not None:
                    on_line(line)
        return process.returncode
