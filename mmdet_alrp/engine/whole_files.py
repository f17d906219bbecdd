"""A file backend whose files are whole or absent."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


class WholeFileBackend(LocalBackend):
    """``LocalBackend`` that writes under another name first and renames at the end.

    A full disk or a killed process leaves a file of that name as it was. What a killed process may
    leave behind is called ``.NAME.part`` and replaced by the next attempt.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file; its folder is made if need be.

        Args:
            obj: What to write.
            filepath: Where to.

        Raises:
            OSError: If it cannot be written; ``filepath`` is then as before.
        """
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f'.{target.name}.part')
        try:
            with part.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())  # a full disk may show itself no earlier
            part.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


register_backend('WholeFileBackend', WholeFileBackend, force=True)
