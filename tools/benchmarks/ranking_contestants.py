"""What ranking_losses.py times: the package's losses, other ways to rank, and focal loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from bucketing import bucketed_ap, bucketed_rank_sort
from torch import Tensor

from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss, rank_sort_loss

DELTA = 1.0
Contestant = Callable[[Tensor, Tensor, Tensor], object]
# Width of the scores, and how far positives stand above
STATES = {'first': (0.005, 0.0), 'spread': (1.0, 0.6), 'trained': (1.0, 5.0)}
OURS = ('aLRP', 'AP', 'AP hard', 'NDCG', 'RS')
# Which of ours the others are compared with
RIVALS = {
    'loop (aLRP)': 'aLRP',
    'bucketing (AP)': 'AP',
    'bucketing (RS)': 'RS',
    'sort': 'aLRP',
}


def make_batch(
    num_logits: int, num_pos: int, device: torch.device, seed: int = 0, state: str = 'spread'
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the scores of a detector at some stage of its training.

    A classifier whose bias is initialised for a prior of 0.01 starts at logits of -4.6. In the
    first steps all of them lie within .02 of that, and nearly all negatives between the ramps' ends
    of all positives. Spread out, with positives a little above, hardly any negative lies below all
    ramps: the dear case. Trained, positives stand 5 above and most negatives below all ramps.

    Args:
        num_logits: Number of logits.
        num_pos: How many of them are positive.
        device: Where the batch is to be.
        seed: Of the drawing, which is done on the CPU.
        state: One of ``STATES``.

    Returns:
        ``logits`` (n,), requiring a gradient, ``targets`` (n,) and ``loc_errors`` (num_pos,).
    """
    width, lift = STATES[state]
    gen = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_logits, generator=gen)
    logits = logits if width == 1 else logits.mul_(width).clamp_(-4 * width, 4 * width)
    logits -= 4.6
    places = torch.randperm(num_logits, generator=gen)[:num_pos]
    targets = torch.zeros(num_logits, dtype=torch.long)
    targets[places] = 1
    logits[places] += lift
    loc_errors = torch.rand(num_pos, generator=gen)
    return logits.to(device).requires_grad_(), targets.to(device), loc_errors.to(device)


def loop_over_positives(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """Compute aLRP's classification gradient one positive at a time.

    The usual short cut is taken: only negatives that some ramp reaches are looked at.
    """
    scores = logits.detach()
    is_pos = targets == 1
    pos = scores[is_pos]
    is_relevant = (targets == 0) & (scores >= pos.min() - DELTA)
    neg = scores[is_relevant]
    pos_grad, neg_grad = torch.zeros_like(pos), torch.zeros_like(neg)
    for i in range(len(pos)):
        among = ((pos - pos[i]) / (2 * DELTA) + 0.5).clamp_(0, 1)
        among[i] = 0
        above = ((neg - pos[i]) / (2 * DELTA) + 0.5).clamp_(0, 1)
        num_fp = above.sum()
        surplus = (num_fp + (among * loc_errors).sum()) / (1 + among.sum() + num_fp)
        surplus = torch.where(num_fp > 0, surplus, 0)
        pos_grad[i] = -surplus
        neg_grad += above * (surplus / num_fp.clamp(min=1e-6))
    grad = torch.zeros_like(scores)
    grad[is_pos], grad[is_relevant] = pos_grad, neg_grad
    return grad / len(pos)


def sort_logits(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """Only sort: a lower bound for every method that sorts its negatives."""
    return logits.detach().sort(descending=True).values


def focal(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """Sigmoid focal loss (gamma 2, alpha .25) in plain PyTorch, forward and backward."""
    target = (targets == 1).to(logits.dtype)
    probs = logits.sigmoid()
    miss = (1 - probs) * target + probs * (1 - target)
    weight = (0.25 * target + 0.75 * (1 - target)) * miss**2
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction='none') * weight
    return torch.autograd.grad(loss.sum() / len(loc_errors), logits)[0]


def fused_focal(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """Sigmoid focal loss by two kernels of Triton, forward and backward."""
    from triton_focal import focal_gradient

    return focal_gradient(logits, targets, len(loc_errors))[1]


def our_alrp(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """The package's aLRP loss, both parts, forward and backward."""
    loss_cls, loss_loc = alrp_loss(logits, targets, loc_errors.detach().requires_grad_(), DELTA)
    return torch.autograd.grad(loss_cls + loss_loc, logits)[0]


def our_ap(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """The package's AP loss in its interpolated form, forward and backward."""
    return torch.autograd.grad(average_precision_loss(logits, targets, DELTA), logits)[0]


def our_hard_ap(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """The package's AP loss with the hard step, which is what bucketing computes."""
    return torch.autograd.grad(average_precision_loss(logits, targets, 0.0), logits)[0]


def our_ndcg(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """The package's NDCG loss, forward and backward."""
    return torch.autograd.grad(ndcg_loss(logits, targets, DELTA), logits)[0]


def our_rank_sort(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """The package's Rank & Sort loss, both parts, forward and backward.

    Its labels are the IoUs whose errors are ``loc_errors``; its delta is the published 0.5.
    """
    loss_rank, loss_sort = rank_sort_loss(logits, targets, 1 - loc_errors / 2)
    return torch.autograd.grad(loss_rank + loss_sort, logits)[0]


def bucketing_ap(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """AP loss by buckets of negatives, hard step."""
    return bucketed_ap(logits, targets)[1]


def bucketing_rank_sort(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> Tensor:
    """Rank & Sort loss by buckets of negatives, hard step."""
    return bucketed_rank_sort(logits, targets, 1 - loc_errors / 2)[1]


def num_relevant(logits: Tensor, targets: Tensor) -> int:
    """Number of negatives that some positive's ramp of half-width ``DELTA`` reaches."""
    foot = logits.detach()[targets == 1].min() - DELTA
    return int(((targets == 0) & (logits.detach() >= foot)).sum())


def choose_contestants(device: torch.device) -> dict[str, Contestant]:
    """All contestants by name; focal losses as CUDA kernels only where these run."""
    chosen: dict[str, Contestant] = {
        'aLRP': our_alrp,
        'AP': our_ap,
        'AP hard': our_hard_ap,
        'NDCG': our_ndcg,
        'RS': our_rank_sort,
        'focal': focal,
        'sort': sort_logits,
        'bucketing (AP)': bucketing_ap,
        'bucketing (RS)': bucketing_rank_sort,
        'loop (aLRP)': loop_over_positives,
    }
    if device.type == 'cuda':
        try:
            fused_focal(*make_batch(64, 4, device))
        except (ImportError, RuntimeError) as reason:
            print(f'note: without focal (fused): {str(reason).splitlines()[0]}')
        else:
            chosen['focal (fused)'] = fused_focal
    return chosen
