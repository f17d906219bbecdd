"""One ranking over 2 and 4 processes equals that of one process with the whole batch."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from in_processes import run_in_processes
from rankings import batch_of
from torch import Tensor

from mmdet_alrp.ranking import (
    alrp_loss,
    average_precision_loss,
    ndcg_loss,
    rank_sort_loss,
)

WORLD_SIZES = [2, 4]
LOSSES: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    'ap': lambda s, t, e, d, **o: (average_precision_loss(s, t, d, **o),),
    'ap plain': lambda s, t, e, d, **o: (average_precision_loss(s, t, d, False, **o),),
    'alrp': alrp_loss,
    'ndcg': lambda s, t, e, d, **o: (ndcg_loss(s, t, d, **o),),
    'rs': rank_sort_loss,
}
# (positives, negatives) of a process: first, the ones between, last; and options of the drawing
SPLITS: dict[str, tuple[list[tuple[int, int]], dict]] = {
    'positives everywhere': ([(7, 40), (3, 60), (12, 30)], {}),
    'first without positives': ([(0, 30), (6, 40), (9, 20)], {}),
    'last without positives': ([(8, 30), (5, 10), (0, 40)], {}),
    'last without logits': ([(6, 30), (4, 20), (0, 0)], {}),
    'first without logits': ([(0, 0), (4, 20), (6, 30)], {}),
    'one positive in all': ([(0, 20), (0, 10), (1, 30)], {}),
    'positives here, negatives there': ([(9, 0), (4, 0), (0, 50)], {}),
    'no positives': ([(0, 10), (0, 5), (0, 20)], {}),
    'no negatives': ([(3, 0), (1, 0), (5, 0)], {}),
    'nothing at all': ([(0, 0), (0, 0), (0, 0)], {}),
    'ties across processes': ([(9, 40), (8, 20), (12, 30)], {'scale': 1.0, 'step': 0.5}),
    'wide': ([(9, 40), (8, 20), (12, 30)], {'scale': 10.0}),
    'far from zero': ([(9, 40), (8, 20), (12, 30)], {'offset': 1e4}),
    'processes far apart': ([(9, 40), (8, 20), (12, 30)], {'offset': 1e3, 'apart': True}),
}
DTYPES = {'float64': (torch.float64, 1e-10), 'float32': (torch.float32, 1e-6)}  # error bounds
# Fewer with four processes, which take their time where there are two cores.
DELTAS = {
    (2, 'float64'): [0.0, 0.5, 1.0],
    (2, 'float32'): [0.0, 1.0],
    (4, 'float64'): [0.0, 1.0],
    (4, 'float32'): [0.5],
}


class Outcome(NamedTuple):
    """All values of a loss, and the gradients of their weighted sum."""

    values: Tensor
    on_logits: Tensor
    on_positives: Tensor


def whole_batch(split: str, world_size: int, dtype: torch.dtype) -> tuple:
    """Batch of all processes, one after another, and the process that owns each logit."""
    (first, between, last), options = SPLITS[split]
    sizes = [first, *[between] * (world_size - 2), last]
    options = dict(options)
    offset, apart = options.pop('offset', 0.0), options.pop('apart', False)
    offsets = [offset * (rank if apart else 1) for rank in range(world_size)]
    return batch_of(sizes, dtype, seed=60, offsets=offsets, shuffled=False, **options)


def slice_of(rank: int, batch: tuple) -> tuple[Tensor, ...]:
    (logits, targets, of_positives), owners = batch
    mine = owners == rank
    return logits[mine], targets[mine], of_positives[owners[targets == 1] == rank]


def outcome_of(name: str, case: tuple[Tensor, ...], delta: float, **options) -> Outcome:
    logits, targets, of_positives = case
    logits = logits.detach().clone().requires_grad_()
    of_positives = of_positives.detach().clone().requires_grad_()
    values = LOSSES[name](logits, targets, of_positives, delta, **options)
    total = sum((k + 1) * value for k, value in enumerate(values))  # parts must not mix
    grads = torch.autograd.grad(total, [logits, of_positives], materialize_grads=True)
    return Outcome(torch.stack(values).detach(), *grads)


def all_cases() -> itertools.product:
    return itertools.product(SPLITS, DTYPES, LOSSES)


def with_nan(place: str) -> tuple:
    """A batch of two processes in which one entry of the first is not a number."""
    (logits, targets, of_positives), owners = whole_batch('positives everywhere', 2, torch.float32)
    logits[(targets == (1 if place == 'positive' else 0)).nonzero()[0]] = math.nan
    return (logits, targets, of_positives), owners


def everything(rank: int, world_size: int) -> dict:
    """What one process finds in all cases, in one go: starting processes is what takes time."""
    found = {}
    for split, dtype, name in all_cases():
        mine = slice_of(rank, whole_batch(split, world_size, DTYPES[dtype][0]))
        for delta in DELTAS[world_size, dtype]:
            found[split, dtype, name, delta] = tuple(outcome_of(name, mine, delta, group=True))
    batch = whole_batch('positives everywhere', world_size, torch.float64)
    for name in LOSSES:
        mine = slice_of(rank, batch)
        found['skewed', name] = tuple(outcome_of(name, mine, 1.0, group=True, error_skew=1.5))
        by_object = outcome_of(name, mine, 1.0, group=torch.distributed.group.WORLD)
        found['by object', name] = tuple(by_object)
        for place in ('positive', 'negative'):
            mine = slice_of(rank, with_nan(place))
            found['nan', place, name] = tuple(outcome_of(name, mine, 1.0, group=True))
    pairs = [torch.distributed.new_group([k, k + 1]) for k in range(0, world_size, 2)]
    for name in LOSSES:
        outcome = outcome_of(name, slice_of(rank, batch), 1.0, group=pairs[rank // 2])
        found['pairs', name] = tuple(outcome)
    return found


@pytest.fixture(scope='module', params=WORLD_SIZES, ids='{} processes'.format)
def found(request, tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp('ranked_in_processes')
    return run_in_processes(everything, request.param, folder)


def assert_slices(found: list[dict], key: tuple, batch: tuple, expected: Outcome, tolerance: float):
    """Equal values on every process, and the slices of one process's gradients."""
    grads = [[one[key][k] for one in found] for k in (1, 2)]
    for one in found:
        torch.testing.assert_close(one[key][0], expected.values, rtol=tolerance, atol=tolerance)
    for parts, whole in zip(grads, expected[1:], strict=True):
        scale = whole.abs().max().item() if whole.numel() else 0.0
        together = torch.cat(parts)
        assert together.dtype == whole.dtype
        torch.testing.assert_close(together, whole, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize('name', list(LOSSES))
@pytest.mark.parametrize('dtype', list(DTYPES))
@pytest.mark.parametrize('split', list(SPLITS))
def test_whole_batch_in_one_process(found, split, dtype, name):
    kind, tolerance = DTYPES[dtype]
    batch = whole_batch(split, len(found), kind)
    for delta in DELTAS[len(found), dtype]:
        expected = outcome_of(name, batch[0], delta)
        assert_slices(found, (split, dtype, name, delta), batch, expected, tolerance)


@pytest.mark.parametrize('name', list(LOSSES))
def test_skewed_errors(found, name):
    batch = whole_batch('positives everywhere', len(found), torch.float64)
    expected = outcome_of(name, batch[0], 1.0, error_skew=1.5)
    assert_slices(found, ('skewed', name), batch, expected, 1e-10)


@pytest.mark.parametrize('name', list(LOSSES))
def test_true_is_the_default_group(found, name):
    for one in found:
        by_name = one['positives everywhere', 'float64', name, 1.0]
        assert all(torch.equal(a, b) for a, b in zip(one['by object', name], by_name, strict=True))


@pytest.mark.parametrize('name', list(LOSSES))
def test_groups_of_two_rank_for_themselves(found, name):
    case, owners = whole_batch('positives everywhere', len(found), torch.float64)
    for start in range(0, len(found), 2):
        inside = owners // 2 == start // 2
        of_positives = case[2][inside[case[1] == 1]]
        batch = (case[0][inside], case[1][inside], of_positives), owners[inside]
        expected = outcome_of(name, batch[0], 1.0)
        assert_slices(found[start : start + 2], ('pairs', name), batch, expected, 1e-10)


@pytest.mark.parametrize('name', list(LOSSES))
@pytest.mark.parametrize('place', ['positive', 'negative'])
def test_what_is_not_a_number_on_one_process_is_seen_on_all(found, place, name):
    for one in found:
        assert not torch.isfinite(one['nan', place, name][0]).all()


def test_cases_do_differ_from_rankings_of_their_own(found):
    """Or the comparison above could not tell a ranking over processes from one on each."""
    batch = whole_batch('positives everywhere', len(found), torch.float64)
    for rank, one in enumerate(found):
        for name in LOSSES:
            alone = outcome_of(name, slice_of(rank, batch), 1.0)
            together = one['positives everywhere', 'float64', name, 1.0]
            assert not torch.allclose(alone.values, together[0], rtol=1e-3)
