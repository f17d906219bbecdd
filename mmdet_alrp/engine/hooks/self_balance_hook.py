"""The hook that sets the self-balance ratios."""

from __future__ import annotations

import math
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmdet_alrp.engine.weight_checks import bare_detector
from mmdet_alrp.models.losses import SelfBalance


@HOOKS.register_module()
class SelfBalanceHook(Hook):
    """Sets every self-balance ratio of the model from the losses of the period that just ended.

    The ratio becomes ``mean(L_cls + L_loc) / mean(L_loc)`` over all steps of all processes; each
    head has its own. Ratios and the sums of an unfinished period are buffers of the model: they are
    in every checkpoint, and a resumed run goes on with them. (A checkpoint within a period
    holds the sums of the first process; after a resume they stand for those of all.)

    Args:
        interval: Period in training iterations; None takes epochs, or in an iteration-based loop
            one pass through the training data.

    Raises:
        ValueError: If ``interval`` is not a positive integer.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Section 4.2 and Appendix F.3.
    """

    priority = 'NORMAL'  # before the hooks that log and save

    def __init__(self, interval: int | None = None) -> None:
        if interval is not None and (type(interval) is not int or interval < 1):
            raise ValueError(f'interval must be a positive integer or None, got {interval!r}')
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Find out how long a period is; say so if there is nothing to balance.

        Raises:
            ValueError: If DistributedDataParallel broadcasts buffers: the sums of the first process
                would replace those of the others in every step.
        """
        if get_world_size() > 1 and getattr(runner.model, 'broadcast_buffers', False):
            raise ValueError(
                'SelfBalanceHook sums the losses of all processes in buffers: '
                'model_wrapper_cfg must have broadcast_buffers=False'
            )
        if not self._balances(runner):
            runner.logger.warning('SelfBalanceHook: no loss of this model has a self-balance ratio')
        self._period = self.interval
        if self.interval is None and isinstance(runner.train_loop, IterBasedTrainLoop):
            self._period = _iterations_of_one_pass(runner)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """End the period if it is counted in iterations."""
        if self._period is not None and (runner.iter + 1) % self._period == 0:
            self._end_period(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """End the period if it is an epoch."""
        if self._period is None:
            self._end_period(runner)

    def _end_period(self, runner: Runner) -> None:
        # Short periods would fill the log; the training log shows the ratio anyway.
        log = runner.logger.info if self.interval is None else runner.logger.debug
        for name, balance in self._balances(runner):
            sums = balance.sums.clone()
            all_reduce(sums)
            if balance.end_period(sums):
                log(f'{name}: self-balance ratio {balance.ratio.item():.4f}')
            else:
                runner.logger.warning(
                    f'{name}: self-balance ratio stays {balance.ratio.item():.4f}: the period had '
                    'no positive or a loss that was not finite'
                )

    @staticmethod
    def _balances(runner: Runner) -> list[tuple[str, SelfBalance]]:
        model = bare_detector(runner.model)
        return [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, SelfBalance) and module.enabled
        ]


def _iterations_of_one_pass(runner: Runner) -> int:
    """Return how many iterations of all processes see as many images as the data set has."""
    dataloader = runner.train_dataloader
    batch_sampler = dataloader.batch_sampler
    batch_size = dataloader.batch_size or getattr(batch_sampler, 'batch_size', 1)
    return max(1, math.ceil(len(dataloader.dataset) / (batch_size * get_world_size())))
