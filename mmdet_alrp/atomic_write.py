"""Files that are there whole, or as they were before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], name: str | None = None) -> Iterator[Path]:
    """Give a name to write a file under; it gets its own name when the block has gone well.

    A full disk, an error or an interruption leaves a file of that name as it was, and no draft.

    Args:
        path: The file; its folder must be there.
        name: Of the draft, in the same folder. None takes a hidden one with the number of the
            process, so that two may write the same file, and with the suffix of ``path``, which
            some writers take the format from. What a killed process leaves behind is replaced by
            the next attempt only under a fixed name.

    Yields:
        Where to write.

    Raises:
        OSError: If it cannot be written; names ``path`` instead of the draft.
    """
    target = Path(path)
    draft = target.with_name(name or f'.{target.stem}.{os.getpid()}{target.suffix}')
    try:
        yield draft
        with draft.open('rb') as file:
            os.fsync(file.fileno())  # a full disk may show itself no earlier
        draft.replace(target)
    except OSError as error:
        if str(error.filename) != str(draft):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file that is there whole or as it was before; its folder is made if need be.

    What a killed process leaves behind is called ``.NAME.part``; the next attempt replaces it.

    Args:
        path: The file.
        content: Text, written as UTF-8, or bytes.

    Raises:
        OSError: If it cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target, f'.{target.name}.part') as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
