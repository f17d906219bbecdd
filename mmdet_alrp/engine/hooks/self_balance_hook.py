"""The hook that sets the self-balance ratios."""

from __future__ import annotations

import math
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from mmdet_alrp.engine.wrapped_models import bare_detector
from mmdet_alrp.models.losses import SelfBalance


@HOOKS.register_module()
class SelfBalanceHook(Hook):
    """Sets every self-balance ratio of the model from the losses of the period that just ended.

    The ratio becomes ``mean(L_cls + L_loc) / mean(L_loc)`` over all steps of all processes; each
    head has its own. Ratios and the sums of an unfinished period are buffers of the model: they are
    in every checkpoint, and a resumed run goes on with them. (A checkpoint within a period
    holds the sums of the first process; after a resume they stand for those of all.) A run that
    only takes the weights (``load_from``) starts with their ratio, but with sums of its own. The
    averaged weights that ``EMAHook`` saves come with the ratios and sums of the model that trains.
    A loss with ``balance_every`` ends its periods by itself; the hook only keeps its sums right.

    It belongs in ``default_hooks``, under any key: they merge with those of a child config, whereas
    ``custom_hooks`` of a child would replace it. A model without a ratio is left alone.

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
        """Find out how long a period is, and begin one unless the run is a resumed one.

        Raises:
            ValueError: If DistributedDataParallel broadcasts buffers: the sums of the first process
                would replace those of the others in every step.
        """
        balances = self._balances(runner)
        if not balances:
            runner.logger.info('SelfBalanceHook: no loss of this model has a self-balance ratio')
        elif get_world_size() > 1 and getattr(runner.model, 'broadcast_buffers', False):
            raise ValueError(
                'SelfBalanceHook sums the losses of all processes in buffers: '
                'model_wrapper_cfg must have broadcast_buffers=False'
            )
        for _, balance in balances:
            balance.driven = True
            if runner.iter == 0:
                balance.start_over()
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

    def after_train(self, runner: Runner) -> None:
        """Let go of the losses: whoever trains them next ends their periods."""
        for _, balance in self._balances(runner):
            balance.driven = balance.every is not None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Give the copy whose weights are averages the ratios and sums of the model that trains.

        ``EMAHook`` takes buffers over, or averages them, before a period ends, and saves its copy
        in the place of the model.

        Args:
            runner: The runner.
            checkpoint: Not needed: it holds the tensors of the copy, or will.
        """
        copies = [hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)]
        for copy in copies:
            pairs = zip(self._balances(runner), _enabled_balances(copy), strict=True)
            for (_, balance), (_, averaged) in pairs:
                averaged.load_state_dict(balance.state_dict())

    def _end_period(self, runner: Runner) -> None:
        # Short periods would fill the log; the training log shows the ratio anyway.
        log = runner.logger.info if self.interval is None else runner.logger.debug
        for name, balance in self._balances(runner):
            if balance.every is not None:  # ends its periods by itself
                continue
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
        return _enabled_balances(bare_detector(runner.model))


def _enabled_balances(model: nn.Module) -> list[tuple[str, SelfBalance]]:
    """Return the losses with a ratio that follows the training, with their names."""
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
