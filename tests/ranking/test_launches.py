"""How many kernels a ranking launches, and that it waits for the device once at most."""

import pytest
import torch
from interpreted import interpret_kernels
from paired import PAIRS
from rankings import random_ranking

from mmdet_alrp.ranking import (
    ClassTargets,
    alrp_box_weights,
    alrp_terms,
    build_ranking,
    error_driven_loss,
    fused,
    rank_sort_losses,
)

if torch.cuda.is_available():
    pytest.skip('counted by the profiler there', allow_module_level=True)

from launch_counts import LaunchCounter

# Largest numbers of launches: kernels of Triton, and all
LIMITS = {'ap': (8, 30), 'ap plain': (7, 30), 'alrp': (9, 40), 'ndcg': (8, 40), 'rs': (12, 62)}


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    interpret_kernels(monkeypatch)


def losses(name, logits, targets, of_positives):
    if name == 'rs':
        parts = [
            PAIRS[part].ours(logits, targets, of_positives, 1.0) for part in ('rs rank', 'rs sort')
        ]
        return parts[0] + parts[1]
    return PAIRS[name].ours(logits, targets, of_positives, 1.0)


@pytest.mark.parametrize('name', [name for name in LIMITS if name != 'rs'])
def test_launches_and_waits_of_a_loss(name):
    logits, targets, of_positives = random_ranking(20, 400)
    logits, of_positives = logits.float().requires_grad_(), of_positives.float()
    with LaunchCounter() as counter:
        losses(name, logits, targets, of_positives).backward()
    by_triton = sum(n for kernel, n in counter.counts.items() if kernel.startswith('triton'))
    assert by_triton == LIMITS[name][0]
    assert counter.launches <= LIMITS[name][1], counter.counts
    assert counter.waits == 1 == counter.counts['aten::nonzero']


@pytest.mark.parametrize('name', ['alrp', 'rs'])
def test_a_head_that_knows_the_positives_waits_no_more(name):
    gen = torch.Generator().manual_seed(0)
    logits = torch.randn(100, 4, generator=gen).requires_grad_()
    indices = torch.randint(0, 16, (100,), generator=gen)
    with LaunchCounter() as counter:
        targets = ClassTargets.of(indices, torch.ones(100), 4)
    assert counter.waits == 1
    quality = torch.rand(len(targets.pos_index), generator=gen)
    with LaunchCounter() as counter:
        ranking = build_ranking(logits.reshape(-1), targets, 1.0)
        if name == 'rs':
            sum(rank_sort_losses(logits.reshape(-1), ranking, quality)).backward()
        else:
            loss = error_driven_loss(logits.reshape(-1), ranking, alrp_terms(ranking, quality))
            (loss + ranking.weighted_sum(alrp_box_weights(ranking), quality)).backward()
    assert counter.waits == 0
    assert counter.launches <= LIMITS[name][1]


def test_kernels_are_compiled_once_for_all_numbers_of_positives(monkeypatch):
    """Triton compiles for each set of settings, and for pointers that are aligned or not."""
    from triton.runtime import interpreter

    run, variants = interpreter.GridExecutor.__call__, {}

    def noted(executor, *args, **options):
        aligned = [part.data_ptr() % 16 == 0 for part in args if isinstance(part, torch.Tensor)]
        variant = (tuple(sorted(options.items())), tuple(aligned))
        kernel = executor.fn.__name__, options.get('KIND')
        variants.setdefault(kernel, set()).add(variant)
        return run(executor, *args, **options)

    monkeypatch.setattr(interpreter.GridExecutor, '__call__', noted)
    monkeypatch.setattr(fused, 'TABLE_ENTRIES', 500)  # so that the copies of the counters change
    for num_pos in (3, 5, 8, 21, 50, 98):
        logits, targets, of_positives = random_ranking(num_pos, 400 - num_pos, num_ignored=0)
        logits = logits.float().requires_grad_()
        losses('alrp', logits, targets, of_positives.float()).backward()
    assert len(variants) == 9 and {len(found) for found in variants.values()} == {1}, variants
