"""Rankings that the tests share: random ones, and the awkward ones by name."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Case = tuple[Tensor, Tensor, Tensor]  # logits, targets, loc_errors


def random_ranking(
    num_pos: int,
    num_neg: int,
    seed: int = 0,
    num_ignored: int = 3,
    scale: float = 2.0,
    step: float = 0.0,
) -> Case:
    """Shuffled ranking in float64; ``step`` > 0 rounds the logits to a grid, which makes ties."""
    gen = torch.Generator().manual_seed(seed)
    count = num_pos + num_neg + num_ignored
    targets = torch.cat(
        [torch.ones(num_pos), torch.zeros(num_neg), -torch.ones(num_ignored)]
    ).long()[torch.randperm(count, generator=gen)]
    logits = torch.randn(count, generator=gen, dtype=torch.float64) * scale
    if step:
        logits = (logits / step).round() * step
    return logits, targets, torch.rand(num_pos, generator=gen, dtype=torch.float64)


def batch_of(
    sizes: Sequence[tuple[int, int]],
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    offsets: Sequence[float] = (),
    shuffled: bool = True,
    **options: float,
) -> tuple[Case, Tensor]:
    """Rankings of given (num_pos, num_neg), each with 2 ignored entries if any, and whose is what.

    The entries of all stand in random order, or, if not ``shuffled``, one ranking after another.
    """
    parts = []
    for owner, (num_pos, num_neg) in enumerate(sizes):
        ignored = 2 if num_pos + num_neg else 0
        case = random_ranking(num_pos, num_neg, seed + owner, num_ignored=ignored, **options)
        parts.append((case[0] + (offsets[owner] if offsets else 0), *case[1:]))
    logits = torch.cat([part[0] for part in parts]).to(dtype)
    targets = torch.cat([part[1] for part in parts])
    owners = torch.cat([torch.full((len(p[0]),), k) for k, p in enumerate(parts)]).long()
    at_entry = torch.zeros(len(logits), dtype=dtype)
    at_entry[targets == 1] = torch.cat([part[2] for part in parts]).to(dtype)
    if shuffled:
        order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
        logits, targets, owners, at_entry = (
            part[order] for part in (logits, targets, owners, at_entry)
        )
    return (logits, targets, at_entry[targets == 1]), owners


def all_equal() -> Case:
    logits, targets, loc_errors = random_ranking(6, 20, seed=1)
    return torch.full_like(logits, 0.25), targets, loc_errors


def positives_apart_from_negatives(shift: float) -> Case:
    logits, targets, loc_errors = random_ranking(8, 40, seed=2, scale=0.1)
    return logits + shift * (targets == 1), targets, loc_errors


def negatives_on_the_ends_of_the_ramps() -> Case:
    """Every difference is a multiple of 0.25: many fall exactly on 0 and on +-delta."""
    return random_ranking(12, 60, seed=3, scale=1.0, step=0.25)


def far_from_zero() -> Case:
    logits, targets, loc_errors = random_ranking(9, 50, seed=4)
    return logits - 1000.0, targets, loc_errors


def barely_inside() -> Case:
    """One negative a hair above the lower end of each ramp for delta .5, 1 and 1e6."""
    logits = torch.tensor([2.0, 1.5 + 1e-5, 1.0 + 1e-5, -3.0], dtype=torch.float64)
    return logits, torch.tensor([1, 0, 0, 0]), torch.tensor([0.3], dtype=torch.float64)


CASES: dict[str, Callable[[], Case]] = {
    'no positive': lambda: random_ranking(0, 5),
    'no negative': lambda: random_ranking(1, 0),
    'one and one': lambda: random_ranking(1, 1),
    'few positives': lambda: random_ranking(7, 60),
    'few negatives': lambda: random_ranking(60, 7),
    'nothing ignored': lambda: random_ranking(10, 30, num_ignored=0),
    'mostly ignored': lambda: random_ranking(3, 9, num_ignored=200),
    'one positive': lambda: random_ranking(1, 300),
    '99 of 100 positive': lambda: random_ranking(99, 1),
    'ties': lambda: random_ranking(15, 80, scale=1.0, step=0.5),
    'many ties': lambda: random_ranking(20, 100, scale=1.0, step=2.0),
    'all equal': all_equal,
    'spread 1e-2': lambda: random_ranking(20, 100, scale=1e-2),
    'spread 1e4': lambda: random_ranking(20, 100, scale=1e4),
    'positives far above': lambda: positives_apart_from_negatives(50.0),
    'positives far below': lambda: positives_apart_from_negatives(-50.0),
    'ends of ramps': negatives_on_the_ends_of_the_ramps,
    'far from zero': far_from_zero,
    'barely inside': barely_inside,
}
