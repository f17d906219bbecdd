"""A file backend whose files are whole or absent."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mmdet_alrp.atomic_write import atomic_write


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
        with atomic_write(target, f'.{target.name}.part') as draft:
            draft.write_bytes(obj)


register_backend('WholeFileBackend', WholeFileBackend, force=True)
