"""The kernels for a GPU against brute force and against the PyTorch path.

Where a GPU is they run on it, elsewhere in Triton's interpreter, on few logits.
"""

import json
import math
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import oracle
import pytest
import torch
from in_processes import run_in_processes
from interpreted import interpret_kernels
from paired import PAIRS, assert_matches, value_and_grad
from rankings import CASES, batch_of, random_ranking

from mmdet_alrp.ranking import (
    ClassTargets,
    RankingOptions,
    alrp_loss,
    build_ranking,
    fused,
    fused_passes,
    rank_sort_loss,
)

HERE = Path(__file__).resolve().parent
DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
NAMES = list(PAIRS)
# Where a step of no width, or one that reaches everything, has its edges
EDGES = ['few positives', 'ties', 'ends of ramps', 'barely inside']
every_loss = pytest.mark.parametrize('name', NAMES)


def in_turn(count, *cases):
    """Each case with some of the losses, the next one with others: kernels know of no loss."""
    step = len(NAMES) // count
    return [
        (NAMES[(start + step * turn) % len(NAMES)], *case)
        for start, case in enumerate(cases)
        for turn in range(count)
    ]


STEPS = [
    *in_turn(6, *((0.5, case) for case in EDGES)),
    *in_turn(2, *((0.5, case) for case in CASES if case not in (*EDGES, '99 of 100 positive'))),
    *in_turn(3, *((delta, case) for delta in (0.0, 1e6) for case in EDGES)),
]


@pytest.fixture(autouse=True)
def by_kernels(monkeypatch):
    """Rank by the kernels, and count how many rankings they made."""
    made = []
    if DEVICE.type == 'cpu':
        interpret_kernels(monkeypatch)
    own = fused.FusedRanking.__init__

    def noted(self, *args):
        made.append(self)
        own(self, *args)

    monkeypatch.setattr(fused.FusedRanking, '__init__', noted)
    return made


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut every table and the logits into several programs, as large ones are."""
    monkeypatch.setattr(fused, 'TILE', (4, 8))
    monkeypatch.setattr(fused_passes, 'BLOCK', 64)
    monkeypatch.setattr(fused, 'MIN_CELLS', 1100)
    monkeypatch.setattr(fused, 'TABLE_ENTRIES', 200)


def on_device(case, dtype=torch.float32):
    logits, targets, of_positives = (part.to(DEVICE) for part in case)
    return logits.to(dtype).requires_grad_(), targets, of_positives.to(dtype)


def by_pytorch(name, case, delta, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(fused_passes.SWITCH, '0')
        return value_and_grad(name, case, delta, **options)


@pytest.mark.parametrize(('name', 'delta', 'case'), STEPS)
def test_against_brute_force(name, delta, case, by_kernels):
    logits, targets, of_positives = on_device(CASES[case]())
    loss = PAIRS[name].ours(logits, targets, of_positives, delta)
    assert len(by_kernels) == (case != 'no positive')
    assert_matches(loss, logits, PAIRS[name].brute_force(logits, targets, of_positives, delta))


@pytest.mark.parametrize(
    ('name', 'delta', 'case'),
    in_turn(
        3,
        (0.0, 'ends of ramps'),
        *((1.0, case) for case in ('few positives', 'ties', 'all equal')),
    ),
)
def test_against_brute_force_in_many_programs(name, delta, case, small_blocks, by_kernels):
    logits, targets, of_positives = on_device(CASES[case]())
    loss = PAIRS[name].ours(logits, targets, of_positives, delta)
    assert by_kernels
    assert_matches(loss, logits, PAIRS[name].brute_force(logits, targets, of_positives, delta))


@pytest.mark.parametrize(
    ('delta', 'error_skew', 'case'),
    [
        *((0.0, 3.0, case) for case in ('few positives', 'barely inside')),
        *((1.0, 0.5, case) for case in ('ties', 'mostly ignored')),
    ],
)
@pytest.mark.parametrize('name', [name for name in NAMES if name != 'rs sort'])
def test_skewed_errors(name, delta, case, error_skew, by_kernels):
    logits, targets, of_positives = on_device(CASES[case]())
    args = (logits, targets, of_positives, delta)
    loss = PAIRS[name].ours(*args, error_skew=error_skew)
    assert by_kernels
    assert_matches(loss, logits, PAIRS[name].brute_force(*args, error_skew=error_skew))


SIZES = {
    'two images': [(7, 40), (3, 30)],
    'images without positives': [(0, 20), (6, 30), (0, 0), (1, 10), (0, 3)],
    'images without negatives': [(4, 0), (3, 25), (1, 0)],
    'more positives than negatives': [(30, 4), (25, 1)],
}


@pytest.mark.parametrize(
    ('name', 'sizes', 'delta', 'error_skew'),
    in_turn(3, *((sizes, *step) for sizes in SIZES for step in ((0.0, 2.0), (0.5, 0.0)))),
)
def test_one_ranking_an_image(name, delta, sizes, error_skew, by_kernels):
    case, images = batch_of(SIZES[sizes], torch.float32, offsets=[30.0 * k for k in range(5)])
    count = len(SIZES[sizes])
    logits, targets, of_positives = on_device(case)
    options = {} if name == 'rs sort' else {'error_skew': error_skew}
    loss = PAIRS[name].ours(
        logits, targets, of_positives, delta, images=images.to(DEVICE), num_images=count, **options
    )
    assert by_kernels
    expected = oracle.one_ranking_an_image(
        lambda *part: PAIRS[name].brute_force(*part, delta, **options), case, images, count
    )
    assert_matches(loss, logits, expected)


@pytest.mark.parametrize(('delta', 'spread'), [(0.0, 2.0), (0.3, 0.02), (1.0, 0.02), (1.0, 300.0)])
@every_loss
def test_equal_to_the_pytorch_path(name, delta, spread):
    """On the same float32 logits the tables agree to far more digits than float32 has."""
    case = random_ranking(40, 3000, seed=5, scale=spread)
    case = on_device((case[0] - 4.6, *case[1:]))
    loss, grad = value_and_grad(name, case, delta)
    expected, expected_grad = by_pytorch(name, case, delta)
    torch.testing.assert_close(loss, expected, rtol=2e-7, atol=1e-9)
    scale = expected_grad.abs().max().item()
    torch.testing.assert_close(grad, expected_grad, rtol=1e-6, atol=1e-8 * scale)


@pytest.mark.parametrize(
    ('delta', 'centre'), [(1e-4, -4.6), (0.7, -4.6), (1e-4, 3e4), (0.7, 3e4), (0.7, 1e9)]
)
def test_counts_are_exact(delta, centre):
    """N_FP in float64, where float32 logits are far apart and where breakpoints fall between."""
    logits, targets, _ = random_ranking(12, 900, seed=9, scale=1.0)
    logits = (logits + centre).float().to(DEVICE)
    targets = targets.to(DEVICE)
    found = build_ranking(logits, targets, delta).num_fp
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(fused_passes.SWITCH, '0')
        by_pytorch = build_ranking(logits, targets, delta).num_fp
    torch.testing.assert_close(found, by_pytorch, rtol=1e-12, atol=1e-9)
    if centre < 1e9:  # there float64 itself cannot hold the ends of the ramps
        expected = oracle.rank_all(logits.cpu(), targets.cpu(), delta).num_fp
        assert max(expected) > 0
        torch.testing.assert_close(found, found.new_tensor(expected), rtol=1e-9, atol=1e-9)


def classified(num_rows, num_classes, seed=0):
    """Logits of a classifier, class indices (outside the classes too), weights, images."""
    gen = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_rows, num_classes, generator=gen)
    indices = torch.randint(-1, 4 * num_classes, (num_rows,), generator=gen)
    weights = torch.rand(num_rows, generator=gen).round() * 0.5
    images = torch.randint(3, (num_rows,), generator=gen, dtype=torch.int16)
    return (part.to(DEVICE) for part in (logits.flatten(), indices, weights, images))


@pytest.mark.parametrize('fused_path', [True, False])
@pytest.mark.parametrize('by_image', [True, False])
@pytest.mark.parametrize('num_classes', [1, 3, 80])
def test_class_indices_in_place_of_targets(num_classes, by_image, fused_path, monkeypatch):
    logits, indices, weights, images = classified(1500 // num_classes, num_classes)
    targets = torch.zeros(len(indices), num_classes, dtype=torch.int64, device=DEVICE)
    for row, (index, weight) in enumerate(zip(indices.tolist(), weights.tolist(), strict=True)):
        targets[row] = 0 if weight else -1
        if weight and 0 <= index < num_classes:
            targets[row, index] = 1
    options = [None, None]
    if by_image:
        of_logits = images[:, None].expand(-1, num_classes).flatten()
        options = [RankingOptions(images=part, num_images=3) for part in (images, of_logits)]
    if not fused_path:
        monkeypatch.setenv(fused_passes.SWITCH, '0')
    short = ClassTargets.of(indices, weights, num_classes)
    assert torch.equal(short.flat(), targets.flatten().to(torch.int8))
    assert torch.equal(short.pos_index, (targets.flatten() == 1).nonzero().squeeze(1))
    found = build_ranking(logits, short, 1.0, options[0])
    expected = build_ranking(logits, targets.flatten(), 1.0, options[1])
    for name in ('num_fp', 'pos_rank', 'neg_index', 'all_finite'):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    errors = torch.rand_like(found.num_fp)
    spreads = [part.spread_over_negatives(errors) for part in (found, expected)]
    assert torch.equal(*spreads)


def test_class_indices_that_do_not_fit():
    _, indices, weights, images = classified(10, 3)
    targets = ClassTargets.of(indices, weights, 3)
    with pytest.raises(ValueError, match=r'logits must have shape \(10 \* 3,\)'):
        build_ranking(torch.zeros(29), targets, 1.0)
    with pytest.raises(ValueError, match=r'shape of class indices, \(10,\), got \(30,\)'):
        build_ranking(
            torch.zeros(30), targets, 1.0, RankingOptions(images=images.repeat(3), num_images=3)
        )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@every_loss
def test_half_precision_is_read_as_it_is(name, dtype, by_kernels):
    logits, targets, of_positives = on_device(random_ranking(40, 900, seed=21), dtype)
    loss, grad = value_and_grad(name, (logits, targets, of_positives), 1.0)
    wide = (logits.detach().float(), targets, of_positives.float())
    expected, expected_grad = by_pytorch(name, wide, 1.0)
    assert grad.dtype == dtype and loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(grad, expected_grad.to(dtype), rtol=1e-2, atol=1e-6)


BAD_LOGITS = [(target, value) for target in (1, 0, -1) for value in (math.nan, math.inf, -math.inf)]


@pytest.mark.parametrize(
    ('name', 'delta', 'options', 'target', 'value'),
    [
        *(('alrp', 1.0, {}, *bad) for bad in BAD_LOGITS),
        *(
            (*kind, *bad)
            for kind in [
                *((name, 1.0, {}) for name in ('ap', 'ap plain', 'ndcg', 'rs rank')),
                ('alrp', 0.0, {}),
                ('alrp', 1.0, {'error_skew': 1.0}),
                ('alrp', 1.0, {'images': True}),
            ]
            for bad in [(1, math.nan), (0, math.inf), (0, -math.inf)]
        ),
    ],
    ids=str,
)
def test_broken_logits(name, target, value, delta, options):
    """Seen in the loss where they take part; a negative at minus infinity is just very low."""
    case = on_device(random_ranking(9, 60, seed=71))
    if 'images' in options:
        images = torch.arange(len(case[0]), device=DEVICE) % 2
        options = {'images': images, 'num_images': 2}
    logits = case[0].detach().clone()
    logits[(case[1] == target).nonzero()[2]] = value
    loss, grad = value_and_grad(name, (logits, *case[1:]), delta, **options)
    harmless = target == -1 or (target == 0 and value == -math.inf)
    assert bool(torch.isfinite(loss)) == harmless
    assert bool(torch.isfinite(grad).all()) == harmless  # or a loss scaler would go on


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('name', ['alrp', 'rs sort'])
def test_broken_boxes_are_seen_in_the_gradient(name, value):
    logits, targets, of_positives = on_device(random_ranking(9, 60, seed=72))
    of_positives[4] = value
    _, grad = value_and_grad(name, (logits, targets, of_positives), 1.0)
    assert not torch.isfinite(grad).all()


@pytest.mark.parametrize(
    ('name', 'options'), [*((name, {}) for name in PAIRS), ('alrp', {'error_skew': 1.0})], ids=str
)
def test_order_of_the_logits_changes_no_bit(name, options, small_blocks):
    """Blocks come to an end in any order on a GPU; sums must not depend on it."""
    logits, targets, of_positives = on_device(random_ranking(15, 250, seed=6))
    loss, grad = value_and_grad(name, (logits, targets, of_positives), 1.0, **options)
    order = torch.arange(len(logits), device=DEVICE)
    negatives = (targets == 0).nonzero().squeeze(1)
    order[negatives] = negatives[torch.randperm(len(negatives)).to(DEVICE)]
    moved = value_and_grad(name, (logits[order], targets, of_positives), 1.0, **options)
    assert torch.equal(moved[0], loss) and torch.equal(moved[1], grad[order])


def test_the_same_bits_in_every_run(monkeypatch):
    sizes = (300, 3_000_000) if DEVICE.type == 'cuda' else (100, 1000)
    case = on_device(random_ranking(*sizes, seed=7, scale=0.01))
    first = [value_and_grad(name, case, 1.0) for name in PAIRS]
    torch.use_deterministic_algorithms(True)
    try:
        again = [value_and_grad(name, case, 1.0) for name in PAIRS]
    finally:
        torch.use_deterministic_algorithms(False)
    for (loss, grad), (loss_again, grad_again) in zip(first, again, strict=True):
        assert torch.equal(loss, loss_again) and torch.equal(grad, grad_again)


def test_what_keeps_the_pytorch_path(by_kernels, monkeypatch):
    logits, targets, loc_errors = on_device(random_ranking(9, 60, seed=73))
    alrp_loss(logits.double(), targets, loc_errors)
    assert not by_kernels
    monkeypatch.setattr(fused_passes, 'MAX_POSITIVES', 8)
    alrp_loss(logits, targets, loc_errors)
    assert not by_kernels
    monkeypatch.setattr(fused_passes, 'MAX_POSITIVES', 9)
    alrp_loss(logits, targets, loc_errors)
    assert len(by_kernels) == 1
    monkeypatch.setenv(fused_passes.SWITCH, '0')
    alrp_loss(logits, targets, loc_errors)
    assert len(by_kernels) == 1


class WithoutCompiler:
    def __getitem__(self, grid):
        raise RuntimeError('Failed to find C compiler.\nPlease specify one.')


def test_kernels_that_do_not_run_leave_the_ranking_to_pytorch(by_kernels, monkeypatch):
    case = on_device(random_ranking(9, 60, seed=73))
    monkeypatch.setattr(fused_passes.kernels().logits, 'move_positives', WithoutCompiler())
    fused_passes.kernels_run.cache_clear()
    try:
        with pytest.warns(UserWarning, match='without Triton on .*RuntimeError: Failed to find C'):
            alrp_loss(*case)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            alrp_loss(*case)
    finally:
        fused_passes.kernels_run.cache_clear()
    assert not by_kernels


@pytest.mark.parametrize('tied', [False, True])
def test_everything_a_ranking_offers(tied, by_kernels):
    """Whoever writes a loss of their own finds on a GPU what is there on a CPU."""
    case, images = batch_of([(7, 60), (0, 9), (5, 30)], torch.float32)
    logits, targets, values = (part.to(DEVICE) for part in case)
    if tied:
        logits = logits.round()
        assert len(logits[targets == 1].unique()) < 12
    for options in (None, RankingOptions(0.5, images.to(DEVICE), 3)):
        found = build_ranking(logits, targets, 0.5, options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(fused_passes.SWITCH, '0')
            expected = build_ranking(logits, targets, 0.5, options)
        assert type(found) is not type(expected)
        for name in ('pos_logits', 'pos_rank', 'num_fp', 'rank', 'neg_index', 'num_pos'):
            torch.testing.assert_close(
                getattr(found, name), getattr(expected, name), msg=lambda m, n=name: f'{n}: {m}'
            )
        torch.testing.assert_close(found.bins.edges, expected.bins.edges)
        values = values.double()
        for name in ('sum_above', 'sum_up_to', 'best_up_to', 'sum_by_image'):
            torch.testing.assert_close(
                getattr(found, name)(values), getattr(expected, name)(values)
            )
        spread = found.spread_over_negatives(values)
        torch.testing.assert_close(spread, expected.spread_over_negatives(values))
        assert found.num_rankings == expected.num_rankings
        torch.testing.assert_close(
            torch.as_tensor(found.normalizer), torch.as_tensor(expected.normalizer)
        )


def test_logits_that_are_changed_before_backward_are_noticed():
    logits, targets, loc_errors = on_device(random_ranking(9, 60, seed=74))
    scores = logits * 1
    loss, _ = alrp_loss(scores, targets, loc_errors)
    with torch.no_grad():
        scores.add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        loss.backward()


def ranked_together(process, world_size):
    case, owners = batch_of([(6, 40), (0, 30), (9, 20)][:world_size], torch.float32, seed=3)
    mine = owners == process
    at_entry = torch.zeros(len(owners))
    at_entry[case[1] == 1] = case[2]
    logits = case[0][mine].requires_grad_()
    targets = case[1][mine]
    found = [
        *alrp_loss(logits, targets, at_entry[mine][targets == 1], group=True, error_skew=1.0),
        *rank_sort_loss(logits, targets, at_entry[mine][targets == 1], group=True),
    ]
    (grad,) = torch.autograd.grad(sum(found[:1] + found[2:]), logits)
    with pytest.MonkeyPatch.context() as patch:
        if process == 1:
            patch.setattr(fused_passes, 'kernels_run', lambda device: False)
        of_positives = at_entry[mine][targets == 1]
        mixed = torch.stack(alrp_loss(logits, targets, of_positives, group=True))
    return torch.stack(found).detach(), grad, mixed.detach()


@pytest.mark.skipif(DEVICE.type == 'cuda', reason='gloo takes no tensors of a GPU')
def test_one_ranking_over_processes(tmp_path, monkeypatch):
    parts = run_in_processes(ranked_together, 3, tmp_path)
    case, owners = batch_of([(6, 40), (0, 30), (9, 20)], torch.float32, seed=3)
    logits = case[0].requires_grad_()
    monkeypatch.setenv(fused_passes.SWITCH, '0')
    found = [*alrp_loss(*case, error_skew=1.0), *rank_sort_loss(*case)]
    (grad,) = torch.autograd.grad(sum(found[:1] + found[2:]), logits)
    for process, (values, part, mixed) in enumerate(parts):
        torch.testing.assert_close(values, torch.stack(found).detach())
        # Of processes that cannot all use the kernels none does.
        torch.testing.assert_close(mixed, torch.stack(found[:2]).detach())
        torch.testing.assert_close(part, grad[owners == process])


def test_kernels_compile_for_gpus_that_are_not_there():
    """For an A100 and an H100, logits of both precisions."""
    environment = {key: v for key, v in os.environ.items() if key != 'TRITON_INTERPRET'}
    path = os.pathsep.join([str(HERE.parents[1]), environment.get('PYTHONPATH', '')])
    done = subprocess.run(
        [sys.executable, str(HERE / 'compile_kernels.py'), 'fp32:90', 'fp16:80'],
        capture_output=True, text=True, timeout=600, env={**environment, 'PYTHONPATH': path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert all('cubin' in row['asm'] for row in rows)
    assert Counter(row['for'] for row in rows) == {'fp32:90': 38, 'fp16:80': 16}
