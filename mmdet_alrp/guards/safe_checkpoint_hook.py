"""The checkpoint hook that never leaves a run without a checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmdet_alrp.guards.whole_files import WholeFileBackend

from .errors import CheckpointNotSavedError


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` that replaces an old checkpoint only when the new one is whole.

    MMEngine's hook with ``max_keep_ckpts`` or ``save_best`` removes the old file first and writes
    the new one in place: a full disk or a kill in between costs both. Here the new file is written
    under another name, renamed, and only then is the old one removed; so there must be room for
    one checkpoint more. A checkpoint that cannot be saved ends the run with a
    :class:`CheckpointNotSavedError` that names the last whole one. Takes the arguments
    of ``CheckpointHook``.
    """

    def before_train(self, runner: Runner) -> None:
        """Choose how files are written: in one piece where they are local."""
        remote = '://' in str(self.out_dir or runner.work_dir)
        if not remote and self.backend_args is None and self.file_client_args is None:
            self.backend_args = {'backend': WholeFileBackend.__name__}
        super().before_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        with self._old_files_kept(runner):
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._old_files_kept(runner):
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _old_files_kept(self, runner: Runner) -> Iterator[None]:
        """Remove old files after the block, and only if it went well."""
        if isinstance(self.file_backend, _LaterRemoval):  # the best one is saved inside the other
            yield
            return
        note = Path(runner.work_dir) / 'last_checkpoint'
        before = note.read_bytes() if note.is_file() else None
        backend = self.file_backend
        self.file_backend = _LaterRemoval(backend)
        try:
            yield
        except OSError as error:
            if before is not None:
                with contextlib.suppress(OSError):
                    note.write_bytes(before)
            raise CheckpointNotSavedError(_advice(error, before)) from error
        else:
            self.file_backend.remove_now()
        finally:
            self.file_backend = backend


class _LaterRemoval:
    """A file backend that notes what it is to remove."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._removals: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._removals.append(('remove', path))

    def rmtree(self, path: str) -> None:
        self._removals.append(('rmtree', path))

    def remove_now(self) -> None:
        for function, path in self._removals:
            getattr(self._backend, function)(path)


def _advice(error: OSError, before: bytes | None) -> str:
    reason = f'the checkpoint could not be saved ({error.strerror or error}'
    reason += f': {error.filename})' if error.filename else ')'
    if before is None:
        return f'{reason}; there is no earlier one: make room and start again'
    last = before.decode(errors='replace').strip()
    return f'{reason}; {last} is whole: make room and go on with --resume'
