"""Checks whether the losses and logits of a step are finite, and names the heads if not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Part of a loss's name and the heads it may come from, most likely first
HEADS_OF_LOSSES = (
    ('rpn', ('rpn_head', 'bbox_head')),
    ('mask', ('mask_head', 'bbox_head')),
    ('', ('bbox_head', 'panoptic_head', 'mask_head', 'decode_head')),
)


def all_finite(model: nn.Module, losses: Mapping[str, Any]) -> Tensor:
    """Return 1 if every loss and every ranked logit is finite, else 0, without a wait.

    Args:
        model: The bare model; its ranking heads say in ``last_losses_finite`` whether the logits
            and losses of their last step were finite.
        losses: Tensors or lists of tensors; entries whose name does not contain "loss" are left
            out, as in MMEngine's sum.

    Returns:
        float32 scalar on the device of the losses.
    """
    verdicts = [value.detach().isfinite().all() for _, value in _loss_tensors(losses)]
    verdicts += [verdict for _, verdict in _judged_heads(model)]
    if not verdicts:
        return torch.ones(())
    device = verdicts[0].device
    return torch.stack([verdict.to(device) for verdict in verdicts]).all().float()


def describe_not_finite(model: nn.Module, losses: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each head that is not finite; copies values from the device.

    Args:
        model: The bare model; its ranking heads say in ``last_losses_finite`` whether the logits
            and losses of their last step were finite.
        losses: Tensors or lists of tensors by name.

    Returns:
        Such as ``bbox_head (RankingRetinaHead): loss_cls = nan``; empty if all is finite.
    """
    found: dict[str, list[str]] = {}
    for name, value in _loss_tensors(losses):
        if name != 'loss' and not bool(value.detach().isfinite().all()):
            kind = 'nan' if bool(value.detach().isnan().any()) else 'inf'
            found.setdefault(head_of_loss(model, name), []).append(f'{name} = {kind}')
    for path, verdict in _judged_heads(model):
        head = _said(path, model.get_submodule(path))
        if head not in found and not bool(verdict):
            found[head] = ['logits = nan or inf']
    total = losses.get('loss')
    if not found and isinstance(total, Tensor) and not bool(total.detach().isfinite()):
        found['the sum of all heads'] = ['loss = nan or inf']
    return [f'{head}: {", ".join(values)}' for head, values in found.items()]


def head_of_loss(model: nn.Module, name: str) -> str:
    """Return path and class of the head that a loss comes from, judged by the loss's name.

    Args:
        model: The bare model.
        name: Key of the loss, such as ``loss_rpn_cls`` or ``s1.loss_bbox``.
    """
    stage = re.match(r's(\d+)\.', name)  # of a cascade
    paths = dict(model.named_modules())
    for part, heads in HEADS_OF_LOSSES:
        if part not in name:
            continue
        for head in heads:
            ending = f'{head}.{stage[1]}' if stage else head
            for path, module in paths.items():
                if path == ending or path.endswith(f'.{ending}'):
                    return _said(path, module)
    return f'the model ({type(model).__name__})'


def _said(path: str, module: nn.Module) -> str:
    return f'{path or "the model"} ({type(module).__name__})'


def _loss_tensors(losses: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in losses.items():
        for tensor in value if isinstance(value, (list, tuple)) else [value]:
            if 'loss' in name and isinstance(tensor, Tensor):
                yield name, tensor


def _judged_heads(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, module in model.named_modules():
        verdict = vars(module).get('last_losses_finite')  # getattr would search every module
        if isinstance(verdict, Tensor):
            yield path, verdict.detach().all()
