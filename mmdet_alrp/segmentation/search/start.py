"""The common start: weights that every sample of a search goes on from.

From random weights, a training as short as a proxy's is decided by luck rather than by the loss.
Where no pre-trained net fits, one training with cross entropy, before the first round, takes its
place.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from mmdet_alrp.atomic_write import write_file

LOSS = 'AutoSegLoss'
START_FILE = 'start.pth'


def surrogate_losses(node: Any) -> Iterator[ConfigDict]:
    """Yield the configs of all ``AutoSegLoss`` in the config of a model."""
    if isinstance(node, Mapping):
        if str(node.get('type')).rpartition('.')[2] == LOSS:
            yield node
        for value in node.values():
            yield from surrogate_losses(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from surrogate_losses(value)


def start_with_cross_entropy(cfg: Config) -> None:
    """Make the config of a proxy that of the common start.

    Cross entropy, ``search.start.max_iters`` iterations, a warm-up over the first tenth of them and
    a cosine to a hundredth of the rate; everything else as in the proxy.

    Args:
        cfg: Prepared config of a proxy; it is changed.
    """
    max_iters = cfg.search.start.max_iters
    for loss in list(surrogate_losses(cfg.model)):
        weight = loss.get('loss_weight', 1.0)
        loss.clear()
        loss.update(type='CrossEntropyLoss', loss_weight=weight, avg_non_ignore=True)
    cfg.train_cfg = ConfigDict(
        type='IterBasedTrainLoop', max_iters=max_iters, val_begin=max_iters + 1
    )
    warm_up = max(1, max_iters // 10)
    cfg.param_scheduler = [
        ConfigDict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=warm_up),
        ConfigDict(
            type='CosineAnnealingLR',
            by_epoch=False,
            begin=warm_up,
            end=max_iters,
            T_max=max(1, max_iters - warm_up),
            eta_min_ratio=0.01,
        ),
    ]


def save_start(model: nn.Module, path: str) -> None:
    """Write a model's weights as a checkpoint that is there whole or not at all."""
    content = io.BytesIO()
    torch.save({'state_dict': model.state_dict()}, content)
    write_file(path, content.getvalue())
