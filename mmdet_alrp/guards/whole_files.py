"""A file backend of MMEngine whose files are whole or absent."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mmdet_alrp.atomic_write import write_file


class WholeFileBackend(LocalBackend):
    """``LocalBackend`` whose files are there whole or as they were before."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file; its folder is made if need be.

        Args:
            obj: What to write.
            filepath: Where to.

        Raises:
            OSError: If it cannot be written; ``filepath`` is then as before.
        """
        write_file(filepath, obj)


register_backend('WholeFileBackend', WholeFileBackend, force=True)
