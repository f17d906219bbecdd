"""Says in one line that a file is no checkpoint, or none that is loaded safely."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.guards.checkpoint_safety import load_safely


def check_checkpoint(path: str, option: str) -> None:
    """Check that a checkpoint is there and that torch's safe unpickler reads it.

    Args:
        path: File, or an address (with ``://``) that is left to MMEngine.
        option: What the user knows the file as, for the message.

    Raises:
        UsageError: If it is missing, broken, or holds objects that are not loaded safely.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        raise UsageError(f'{option}: there is no file {path}')
    try:
        load_safely(path, mmap=True)
    except pickle.UnpicklingError as error:
        reason = ' '.join(str(error).split()).partition(' Check the documentation')[0]
        start = max(reason.lower().find('unsupported'), 0)
        raise UsageError(
            f'{option}: {path} is no checkpoint that can be loaded safely ({reason[start:][:160]})'
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = ' '.join(str(error).split())[:160]
        raise UsageError(f'{option}: {path} is damaged or no checkpoint ({reason})') from None


def check_last_checkpoint(work_dir: str) -> None:
    """Check what ``--resume`` without a path would start from; nothing there is no error.

    Args:
        work_dir: Work dir of the run.

    Raises:
        UsageError: If the work dir names a checkpoint that is gone or damaged.
    """
    note = Path(work_dir) / 'last_checkpoint'
    if not note.is_file():
        return
    try:
        check_checkpoint(note.read_text().strip(), f'--resume: {note} names its checkpoint')
    except UsageError as error:
        newest = _newest_whole_checkpoint(Path(work_dir))
        hint = f'; {newest} is whole: --resume {newest}' if newest else ''
        raise UsageError(f'{error}{hint}') from None


def _newest_whole_checkpoint(folder: Path) -> Path | None:
    files = sorted(folder.glob('*.pth'), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files:
        with contextlib.suppress(UsageError):
            check_checkpoint(str(path), '')
            return path
    return None
