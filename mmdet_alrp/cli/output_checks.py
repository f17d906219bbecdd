"""Says in one line that a place takes no files, before a long run ends in front of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mmdet_alrp.command_line import UsageError


def check_place(path: str, option: str) -> None:
    """Check that a file can be written.

    Args:
        path: The file; folders that are not there yet would be made.
        option: What the user knows the file as, for the message.

    Raises:
        UsageError: If it is a folder, or lies where nothing can be written.
    """
    if Path(path).is_dir():
        raise UsageError(f'{option}: {path} is a folder, name a file')
    _check_takes_files(Path(path).absolute().parent, path, option)


def check_folder(path: str, option: str) -> None:
    """Check that a folder can be made, if need be, and takes files.

    Args:
        path: The folder.
        option: What the user knows it as, for the message.

    Raises:
        UsageError: If it is a file, or nothing can be written there.
    """
    _check_takes_files(Path(path).absolute(), path, option)


def _check_takes_files(folder: Path, path: str, option: str) -> None:
    while not folder.exists():
        folder = folder.parent
    try:
        # Permissions alone do not tell: of a file system that is read-only, or for root
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        raise UsageError(f'{option}: {path} cannot be written: {folder} takes no files') from None
