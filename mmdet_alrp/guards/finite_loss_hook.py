"""The hook that lets no loss go wrong in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdet_alrp.engine.wrapped_models import bare_detector

from .errors import NotFiniteError
from .finite_losses import all_finite, describe_not_finite
from .step_guard import StepGuard

ACTIONS = ('raise', 'skip')
ADVICE = (
    'lower optim_wrapper.optimizer.lr, warm up longer (LinearLR), set optim_wrapper.clip_grad, '
    'or check the boxes of these images'
)
IMAGES_NAMED = 4


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops training, or leaves the step out, when a loss or a logit is NaN or infinite.

    With ``'raise'`` the run ends before anything of the step is saved. It costs no wait for the
    device of its own: MMEngine reads the losses at the same place. With ``'skip'`` the step is
    dropped: weights, optimiser state and buffers (running statistics, self-balance sums) are as
    before it, and a warning names the head. Gradients are judged too. This costs one wait for the
    device a step, and a copy of the buffers. With several processes all drop a step together.

    Works with any MMEngine optimiser wrapper; a loss scaler of mixed precision goes on dropping
    steps with infinite gradients and lowering its scale, which is no error.

    Args:
        action: ``'raise'`` or ``'skip'``.
        max_skipped: End the run after so many dropped steps in a row.

    Raises:
        ValueError: If an argument is none of these.
    """

    priority = 'ABOVE_NORMAL'  # before averages, balancing, logging and checkpoints

    def __init__(self, action: str = 'raise', max_skipped: int = 50) -> None:
        if action not in ACTIONS:
            raise ValueError(f'action must be one of {", ".join(ACTIONS)}, got {action!r}')
        if type(max_skipped) is not int or max_skipped < 1:
            raise ValueError(f'max_skipped must be a positive integer, got {max_skipped!r}')
        self.action = action
        self.max_skipped = max_skipped
        self._guard: StepGuard | None = None

    def before_train(self, runner: Runner) -> None:
        """Start to watch the model."""
        self._in_a_row = self._in_total = 0
        # losses and batch of each forward pass of the current step
        self._step: list[tuple[Mapping[str, Any], Any]] = []
        if self.action == 'skip':
            self._guard = StepGuard(bare_detector(runner.model), runner.optim_wrapper)

    def after_train(self, runner: Runner) -> None:
        """Take the watch off the model."""
        if self._guard is not None:
            self._guard.remove()
            self._guard = None

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Remember what a dropped step must not change."""
        if self._guard is not None:
            self._guard.begin()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Judge the step that was just made.

        Args:
            runner: The runner.
            batch_idx: Not needed.
            data_batch: The batch, whose images a message names.
            outputs: Losses of the step by name.

        Raises:
            NotFiniteError: If it was not finite, or was one dropped step too many.
        """
        model = bare_detector(runner.model)
        self._step.append((outputs or {}, data_batch))
        if self._guard is None:
            finite = all_finite(model, outputs or {})
            all_reduce(finite, 'min')
            if not bool(finite):
                raise NotFiniteError(
                    f"{self._message(runner)}; {ADVICE}; FiniteLossHook(action='skip') leaves "
                    'out such steps'
                )
        elif not runner.optim_wrapper.should_update():
            return  # gradients are being accumulated: the step is still to come
        elif self._guard.end():
            self._in_a_row = 0
        else:
            self._count_dropped(runner)
        self._step.clear()

    def _count_dropped(self, runner: Runner) -> None:
        self._in_a_row += 1
        self._in_total += 1
        message = self._message(runner)
        if self._in_a_row >= self.max_skipped:
            raise NotFiniteError(f'{message}; {self._in_a_row} steps in a row are lost; {ADVICE}')
        runner.logger.warning(
            f'{message}; the step is left out, number {self._in_a_row} in a row, '
            f'{self._in_total} in this run'
        )

    def _message(self, runner: Runner) -> str:
        """Say what all processes found; to be called by all of them."""
        model = bare_detector(runner.model)
        own = [
            ', '.join(found) + _images_of(data_batch)
            for losses, data_batch in self._step
            if (found := describe_not_finite(model, losses))
        ]
        gathered = dict.fromkeys(entry for found in all_gather_object(own) for entry in found)
        return f'iteration {runner.iter + 1}, ' + '; '.join(
            gathered or ['gradients = nan or inf although the losses are finite']
        )


def _images_of(data_batch: Any) -> str:
    samples = data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None
    if not isinstance(samples, Sequence):
        return ''
    paths = [getattr(sample, 'img_path', None) for sample in samples]
    names = [Path(path).name for path in paths if isinstance(path, str)]
    more = ', ...' if len(names) > IMAGES_NAMED else ''
    return f' (images {", ".join(names[:IMAGES_NAMED])}{more})' if names else ''
