"""The policy by itself: what is clipped, and the steps of its optimiser."""

import math

import pytest
import torch

from mmdet_alrp.segmentation.search import Policy, TruncatedNormal, clipped_objective


def test_a_ratio_for_each_number_keeps_numbers_apart_and_a_joint_one_does_not():
    samples = torch.rand(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = samples.clone()
    other[:, 1:] = 1 - other[:, 1:].flip(0)
    advantages = torch.linspace(-0.3, 0.3, 8, dtype=torch.float64)
    for ratio, apart in (('parameter', True), ('joint', False)):
        first = []
        for drawn in (samples, other):
            policy = Policy([0.4, 0.5, 0.6], 0.2)
            policy.improve(drawn, advantages, clip=0.2, updates=20, lr=0.05, ratio=ratio)
            first.append(policy.mean[0].item())
        assert (first[0] == pytest.approx(first[1], abs=1e-12)) is apart


@pytest.mark.parametrize('keep_adam', [False, True])
def test_adam_takes_the_steps_of_its_formula_over_the_rounds(keep_adam):
    generator = torch.Generator().manual_seed(0)
    policy, lr = Policy([0.3, 0.6], 0.2), 0.05
    logits, first, second, step = policy.logits.tolist(), [0.0] * 2, [0.0] * 2, 0
    for _ in range(3):
        samples = policy.sample(4, generator)
        advantages = torch.tensor([0.3, -0.1, 0.2, -0.4], dtype=torch.float64)
        before = policy.log_prob(samples).detach()
        if not keep_adam:
            first, second, step = [0.0] * 2, [0.0] * 2, 0
        for _ in range(2):
            mean = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
            now = TruncatedNormal(mean.sigmoid(), 0.2).log_prob(samples).sum(1, keepdim=True)
            ratio = now - before.sum(1, keepdim=True)
            objective = -clipped_objective(ratio, advantages[:, None], 0.2)
            (grad,) = torch.autograd.grad(objective, mean)
            step += 1
            for i, slope in enumerate(grad.tolist()):
                first[i] = 0.9 * first[i] + 0.1 * slope
                second[i] = 0.999 * second[i] + 0.001 * slope**2
                size = math.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
                logits[i] -= lr * first[i] / (1 - 0.9**step) / size
        policy.improve(samples, advantages, 0.2, 2, lr, keep_adam=keep_adam)
        assert policy.logits.tolist() == pytest.approx(logits, abs=1e-12)
