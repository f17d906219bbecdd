"""The hook that measures how a classification loss balances positives and negatives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdet_alrp.engine.wrapped_models import bare_detector
from mmdet_alrp.ranking import ClassTargets

LOG_NAME = 'grad_ratio'


def is_positive(logits: Tensor, targets: Tensor, softmax: bool = False) -> Tensor:
    """Say which logits belong to positives.

    Args:
        logits: What a classification loss gets, shape (n, num_channels) or (n,).
        targets: Class index of each row, shape (n,), or a target for each logit, positive where it
            is above 0.
        softmax: The classes of a row compete and the last channel is the background: a row
            belongs to a positive as a whole. Otherwise every logit stands for itself, and a row has
            one positive at most.

    Returns:
        Boolean, shape of ``logits``.
    """
    if targets.shape == logits.shape:
        return targets > 0
    channels = torch.arange(logits.size(-1), device=logits.device)
    if softmax:
        rows = (targets >= 0) & (targets < logits.size(-1) - 1)
        return rows.unsqueeze(-1).expand_as(logits)
    return channels == targets.unsqueeze(-1)


@HOOKS.register_module()
class GradientBalanceHook(Hook):
    """Logs, for each classification loss, the gradient on positives over that on negatives.

    The figure is the sum of gradient magnitudes on the logits of positives divided by that on the
    logits of negatives, over the iterations since it was last logged, on all processes. It is
    measured on the tensors of the real backward pass. For a ranking loss it is 1 (Theorem 2); for
    focal loss and cross entropy it wanders.

    It is logged as ``grad_ratio``, or with several losses as ``rpn_head.grad_ratio`` and so on. A
    loss is every module of the model that is called ``loss_cls``. Costs one pass over the
    gradient of the logits an iteration; the device is waited for only when it logs.

    Args:
        interval: Iterations between two figures.

    Raises:
        ValueError: If ``interval`` is not a positive integer.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Theorem 2 and Figure 4.
    """

    priority = 'NORMAL'  # before the hook that writes the log

    def __init__(self, interval: int = 10) -> None:
        if type(interval) is not int or interval < 1:
            raise ValueError(f'interval must be a positive integer, got {interval!r}')
        self.interval = interval
        self._handles: list[RemovableHandle] = []
        self._sums: dict[str, Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        """Look for the losses and listen to what they are given."""
        model = bare_detector(runner.model)
        names = ((name.rpartition('.'), module) for name, module in model.named_modules())
        losses = {owner: module for (owner, _, name), module in names if name == 'loss_cls'}
        if not losses:
            runner.logger.warning('GradientBalanceHook: no part of this model is called loss_cls')
        device = next(model.parameters()).device
        for owner, module in losses.items():
            name = LOG_NAME if len(losses) == 1 else f'{owner}.{LOG_NAME}'
            self._sums[name] = torch.zeros(2, dtype=torch.float64, device=device)
            listener = self._listener(name)
            self._handles.append(module.register_forward_pre_hook(listener, with_kwargs=True))

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Hand the figures to the log at the end of an interval."""
        if (runner.iter + 1) % self.interval:
            return
        for name, sums in self._sums.items():
            all_reduce(sums)
            runner.message_hub.update_scalar(f'train/{name}', (sums[0] / sums[1]).item())
            sums.zero_()

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        while self._handles:
            self._handles.pop().remove()

    def _listener(self, name: str) -> Callable:
        def listen(module: nn.Module, args: tuple, kwargs: dict) -> None:
            # losses name their first two arguments as they like: logits and targets they are
            bound = inspect.signature(module.forward).bind(*args, **kwargs)
            logits, targets, *_ = bound.arguments.values()
            if not logits.requires_grad:
                return
            labels = targets[0] if isinstance(targets, tuple) else targets  # (labels, qualities)
            labels = labels.flat() if isinstance(labels, ClassTargets) else labels
            softmax = logits.dim() > 1 and not getattr(module, 'use_sigmoid', True)
            positive = is_positive(logits.detach(), labels, softmax)
            logits.register_hook(lambda grad: self._add(name, grad, positive))

        return listen

    def _add(self, name: str, grad: Tensor, positive: Tensor) -> None:
        magnitudes = grad.detach().abs()
        total = magnitudes.sum(dtype=torch.float64)
        of_positives = (magnitudes * positive).sum(dtype=torch.float64)
        sums = torch.stack([of_positives, total - of_positives])
        # a step of mixed precision that overflows is not taken: it does not count here either
        self._sums[name] += torch.where(total.isfinite(), sums, 0.0)
