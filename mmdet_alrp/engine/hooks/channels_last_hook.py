"""The hook that stores the weights of convolutions so that they run faster."""

from __future__ import annotations

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keeps 4-D weights in PyTorch's memory format ``channels_last``.

    Convolutions then give their outputs in that format too. The results are the same up to
    rounding, and a step takes less time where the kernels prefer it: with bfloat16 on a CPU, and
    with float16 on tensor cores. It does nothing where the model is wrapped for several processes,
    because the wrapper has laid out its buckets of gradients already.

    Reference:
        https://pytorch.org/tutorials/intermediate/memory_format_tutorial.html
    """

    def before_train(self, runner: Runner) -> None:
        """Change the format in place: the optimiser goes on with the same parameters."""
        if not is_model_wrapper(runner.model):
            runner.model.to(memory_format=torch.channels_last)
