"""How the command-line tools report wrong use: one line on stderr, exit status 2."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn


class UsageError(Exception):
    """Something the user got wrong; the message says what and what to do, in one line."""


class OneLineParser(argparse.ArgumentParser):
    """Argument parser that reports wrong use in one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f'{self.prog}: error: {message}\n')


def fail(tool: str, message: object) -> int:
    """Say in one line on stderr what a tool was given wrong; return exit status 2.

    Args:
        tool: File name of the tool.
        message: What is wrong and what to do: a text or an error.
    """
    print(f'{tool}: error: {" ".join(str(message).split())}', file=sys.stderr)  # noqa: T201
    return 2


def one_line(error: BaseException) -> str:
    """Say an error in one line of at most 300 characters.

    Args:
        error: Any; of a ``KeyError`` its first argument without quotes.
    """
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return ' '.join(str(text).split())[:300]


def iou_threshold(text: str) -> float:
    """Read an IoU threshold in (0, 1); a ``type`` of argparse.

    Args:
        text: Value on the command line.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        tau = float(text)
    except ValueError:
        tau = 0.0
    if not 0.0 < tau < 1.0:
        raise argparse.ArgumentTypeError(f'must be a number between 0 and 1 (exclusive): {text}')
    return tau
