"""How the command-line tools report wrong use: one line on stderr, exit status 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

OPTIONAL_PACKAGES = ('faster_coco_eval', 'matplotlib', 'sklearn')


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


def exit_status(tool: str, run: Callable[[], None], *wrong: type[Exception]) -> int:
    """Run a tool; end wrong use in one line.

    Args:
        tool: Its file name, for the message.
        run: What it does.
        *wrong: Errors that say what the user got wrong, beside :class:`UsageError`, those of
            files, and optional packages that are missing.

    Returns:
        0, or 2 after wrong use.

    Raises:
        Exception: Whatever else the tool raises.
    """
    try:
        run()
    except (UsageError, *wrong) as error:
        return fail(tool, error)
    except ModuleNotFoundError as error:
        package = (error.name or '').partition('.')[0]
        if package not in OPTIONAL_PACKAGES:
            raise
        # What needs another one says so itself.
        own = package != 'matplotlib'
        return fail(tool, error if own else 'pictures need matplotlib: pip install matplotlib')
    except OSError as error:
        if error.strerror is None:
            return fail(tool, error)
        return fail(tool, f'{error.filename2 or error.filename}: {error.strerror}')
    return 0


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
