"""Batches for the loss modules: logits, targets and what boxes would have cost."""

import torch


def random_ranking(num_pos=7, num_rest=60, dtype=torch.float32, seed=0):
    """Shuffled logits with ignored ones among them, and a box loss of each positive."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_pos + num_rest, generator=generator, dtype=dtype)
    targets = torch.zeros(num_pos + num_rest, dtype=torch.int8)
    targets[3 :: (num_pos + num_rest) // max(num_pos, 1)][:num_pos] = 1 if num_pos else 0
    targets[::10] = -1
    return logits, targets, torch.rand(int((targets == 1).sum()), generator=generator, dtype=dtype)


def gradients(losses, *inputs):
    """Of the sum of both losses, as a training step takes them."""
    return torch.autograd.grad(losses.loss_cls + losses.loss_bbox, inputs)
