"""Keeps a training step that went wrong from changing the model."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim import Optimizer

from mmdet_alrp.criteria.self_balance import SelfBalance

from .finite_losses import all_finite


class StepGuard:
    """Empties the gradients of a step whose losses, logits or gradients are not finite.

    An optimiser leaves parameters without a gradient alone: no weight decay, no momentum, no step
    count. The losses are judged in the forward pass, on the device; their verdict is reduced over
    all processes there, so every process keeps or drops the step. Gradients are judged just before
    the optimiser's step; data-parallel training has made them equal everywhere by then.
    A loss scaler, which drops steps with infinite gradients itself, works as before.

    Args:
        model: The bare model, without a wrapper.
        optim_wrapper: What updates it.

    Raises:
        TypeError: If there are several optimisers.
    """

    def __init__(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        if not isinstance(optim_wrapper, OptimWrapper):
            raise TypeError(
                "FiniteLossHook(action='skip') needs a single optimiser, "
                f'got {type(optim_wrapper).__name__}'
            )
        self._model = model
        self._handles = [
            model.register_forward_hook(self._judge_losses),
            optim_wrapper.optimizer.register_step_pre_hook(self._judge_gradients),
        ]
        self._forget()

    def _forget(self) -> None:
        self._finite: Tensor | None = None  # on the device: losses and logits of this step
        self._step_is_good: bool | None = None
        self._buffers: list[tuple[Tensor, Tensor]] | None = None

    def remove(self) -> None:
        """Leave model and optimiser as they were."""
        for handle in self._handles:
            handle.remove()

    def begin(self) -> None:
        """Remember the buffers that the forward passes of a step may change."""
        if self._buffers is None:
            self._buffers = [
                (buffer, buffer.clone())
                for module in self._model.modules()
                if module.training
                for buffer in module.buffers(recurse=False)
            ]

    def end(self) -> bool:
        """Finish a step; put the buffers back if it was dropped.

        Returns:
            Whether the step was good.
        """
        good = self._step_is_good
        if good is None:  # a loss scaler has dropped the step before the optimiser saw it
            good = self._finite is None or bool(self._finite)
        if not good:
            for buffer, before in self._buffers or []:
                buffer.copy_(before)
            for module in self._model.modules():
                if isinstance(module, SelfBalance):
                    module.read_calls()
        self._forget()
        return good

    def _judge_losses(self, module: nn.Module, args: Any, losses: Any) -> None:
        if not (module.training and isinstance(losses, dict)):
            return
        finite = all_finite(module, losses)
        all_reduce(finite, 'min')
        self._finite = finite if self._finite is None else torch.minimum(self._finite, finite)

    def _judge_gradients(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        parameters = [
            parameter for group in optimizer.param_groups for parameter in group['params']
        ]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        finite = torch.ones(()) if self._finite is None else self._finite
        if gradients:
            # The largest magnitude: unlike a sum of squares it cannot overflow by itself.
            norms = torch._foreach_norm(gradients, float('inf'))
            norms = torch.stack([norm.to(finite.device, torch.float32) for norm in norms])
            finite = norms.isfinite().all() & (finite > 0)
        self._step_is_good = bool(finite)  # the one wait for the device
        if not self._step_is_good:
            for parameter in parameters:
                parameter.grad = None
