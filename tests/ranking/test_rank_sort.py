"""Rank & Sort loss: against brute force, by hand, and what holds for every batch.

Few positives are compared in another way than many; what is said of few is tested in both ways.
"""

import math
from contextlib import contextmanager

import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paired import TOLERANCES, assert_matches, assert_near
from rankings import CASES, random_ranking

from mmdet_alrp.ranking import label_comparison, rank_sort_loss

DELTAS = [0.0, 0.5, 1.0, 1e6]
LABELS = {
    'distinct': lambda ious: ious,
    'tied': lambda ious: (ious * 3).round() / 3,
    'equal': lambda ious: torch.full_like(ious, 0.6),
    'perfect': torch.ones_like,
    'zero': torch.zeros_like,
}
every_delta = pytest.mark.parametrize('delta', DELTAS)
every_small_case = pytest.mark.parametrize(
    'name', [name for name in CASES if name != '99 of 100 positive']
)
every_dtype = pytest.mark.parametrize('dtype', list(TOLERANCES), ids=['float64', 'float32'])


# Up to how many positives are compared pair by pair, with more in rounds
WAYS = {'as chosen': label_comparison.MAX_PAIRED, 'in rounds': 0}


@contextmanager
def comparing(way):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_comparison, 'MAX_PAIRED', WAYS[way])
        yield


@pytest.fixture(params=WAYS)
def in_both_ways(request):
    with comparing(request.param):
        yield


def leaf_case(case, dtype, device='cpu', labels='distinct'):
    logits, targets, ious = case
    ious = LABELS[labels](ious.to(device, dtype))
    return logits.to(device, dtype).requires_grad_(), targets.to(device), ious


def assert_both_parts(case, delta):
    brute_force = oracle.rank_sort(*case, delta)
    for way in WAYS:
        with comparing(way):
            parts = rank_sort_loss(*case, delta)
            for ours, expected in zip(parts, brute_force, strict=True):
                assert_matches(ours, case[0], expected)


@pytest.mark.parametrize(
    ('labels', 'delta', 'dtype'),
    [
        *(('distinct', delta, torch.float64) for delta in DELTAS),
        *(('tied', delta, torch.float64) for delta in (0.0, 0.5)),
        *(('distinct', 0.0, torch.float32), ('tied', 0.5, torch.float32)),
    ],
    ids=str,
)
@every_small_case
def test_values_and_gradients(name, labels, delta, dtype, device):
    assert_both_parts(leaf_case(CASES[name](), dtype, device, labels), delta)


@pytest.mark.parametrize(
    ('labels', 'delta'), [('equal', 0.0), ('equal', 0.5), ('perfect', 0.5), ('zero', 0.0)]
)
@every_small_case
def test_labels_that_leave_nothing_to_sort(name, labels, delta):
    case = leaf_case(CASES[name](), torch.float64, labels=labels)
    assert_both_parts(case, delta)
    for way in WAYS:
        with comparing(way):
            _, loss = rank_sort_loss(*case, delta)
            (grad,) = torch.autograd.grad(loss, case[0])
        assert abs(loss.item()) < 1e-12 and (grad == 0).all()


@pytest.mark.parametrize(
    ('dtype', 'delta', 'labels'),
    [
        (torch.float64, 0.0, 'distinct'),
        (torch.float64, 0.5, 'tied'),
        (torch.float32, 0.0, 'tied'),
        (torch.float32, 0.5, 'distinct'),
    ],
    ids=str,
)
def test_many_positives_and_one_negative(dtype, delta, labels):
    assert_both_parts(leaf_case(CASES['99 of 100 positive'](), dtype, labels=labels), delta)


@every_dtype
@every_delta
@pytest.mark.parametrize(('scale', 'centre'), [(10.0, 0.0), (1.0, 1e4), (0.3, -1e4)])
def test_wide_and_distant_logits(scale, centre, delta, dtype):
    logits, targets, ious = random_ranking(25, 120, seed=31, scale=scale)
    assert_both_parts(leaf_case((logits.clamp(-30, 30) + centre, targets, ious), dtype), delta)


@every_delta
@pytest.mark.parametrize('seed', range(4))
def test_random_sizes(seed, delta):
    gen = torch.Generator().manual_seed(300 + seed)
    num_pos, num_neg = torch.randint(1, 70, (2,), generator=gen).tolist()
    scale = 10 ** (3 * torch.rand(1, generator=gen).item() - 2)
    assert_both_parts(
        leaf_case(random_ranking(num_pos, num_neg, seed, scale=scale), torch.float64), delta
    )


def dense_sorting(pos, ious, delta):
    """Sorting part as P x P matrices: a third implementation for sizes that loops cannot do."""
    diff = pos[None] - pos[:, None]
    step = (diff >= 0).double() if delta == 0 else (diff / (2 * delta) + 0.5).clamp(0, 1)
    is_wrong = ious[None] < ious[:, None]
    wrong, right = step * is_wrong, step * ~is_wrong
    error = (step * (1 - ious)).sum(1) / step.sum(1)
    surplus = error - (right * (1 - ious)).sum(1) / right.sum(1)
    total = wrong.sum(1)
    surplus = torch.where(total > 0, surplus, 0.0)
    shares = wrong / total.clamp(min=1e-300)[:, None]
    return surplus.mean(), (surplus @ shares - surplus) / len(pos)


@pytest.mark.parametrize('labels', ['distinct', 'tied'])
@pytest.mark.parametrize('delta', [0.0, 0.5])
@every_dtype
def test_thousands_of_positives_against_matrices(dtype, delta, labels, device):
    case = random_ranking(3000, 4000, seed=32)
    logits, targets, ious = leaf_case(case, dtype, device, labels)
    loss = rank_sort_loss(logits, targets, ious, delta)[1]
    (grad,) = torch.autograd.grad(loss, logits)
    pos = logits.detach().double().cpu()[targets.cpu() == 1]
    expected, expected_grad = dense_sorting(pos, ious.double().cpu(), delta)
    assert math.isclose(loss.item(), expected.item(), abs_tol=TOLERANCES[dtype])
    assert_near(grad.cpu()[targets.cpu() == 1], expected_grad, TOLERANCES[dtype])
    assert (grad[targets != 1] == 0).all()


@pytest.mark.parametrize('delta', [0.0, 0.5])
def test_matrices_agree_with_the_loops(delta):
    logits, targets, ious = random_ranking(40, 30, seed=33)
    loss, grad = dense_sorting(logits[targets == 1], ious, delta)
    loops = oracle.rank_sort(logits, targets, ious, delta)[1]
    assert math.isclose(loss.item(), loops.loss, rel_tol=1e-12)
    torch.testing.assert_close(grad, loops.grad[targets == 1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ('delta', 'rank_errors', 'sort_errors'),
    [
        # rank+ 1, 2, 3; N_FP 0, 1, 1; S .5, .3, .3; S* .5, .1, .2
        (0.0, [0, 1 / 3, 1 / 4], [0, 0.2, 0.1]),
        # rank+ .5, 1.5, 2.5; S .5, .55 / 1.5, .75 / 2.5; S* .5, .1, .25 / 1.5
        (0.5, [0, 1 / 2.5, 1 / 3.5], [0, 0.55 / 1.5 - 0.1, 0.3 - 0.25 / 1.5]),
    ],
)
@pytest.mark.usefixtures('in_both_ways')
def test_by_hand(delta, rank_errors, sort_errors):
    """The best scored positive has the worst box: both others are sorted at its expense."""
    logits = torch.tensor([3.0, 2.5, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    ious = torch.tensor([0.5, 0.9, 0.7], dtype=torch.float64)
    parts = rank_sort_loss(logits, torch.tensor([1, 0, 1, 1]), ious, delta)
    grads = [torch.autograd.grad(part, logits)[0].tolist() for part in parts]
    assert parts[0].item() == pytest.approx(sum(rank_errors) / 3, abs=1e-12)
    assert parts[1].item() == pytest.approx(sum(sort_errors) / 3, abs=1e-12)
    (_, second, third), (_, unsorted2, unsorted3) = rank_errors, sort_errors
    ranked = [0, (second + third) / 3, -second / 3, -third / 3]
    placed = [(unsorted2 + unsorted3) / 3, 0, -unsorted2 / 3, -unsorted3 / 3]
    assert grads[0] == pytest.approx(ranked, abs=1e-12)
    assert grads[1] == pytest.approx(placed, abs=1e-12)


def test_default_delta_is_one_half():
    logits, targets, ious = random_ranking(9, 40, seed=34)
    found = [part.item() for part in rank_sort_loss(logits, targets, ious)]
    assert found == [part.item() for part in rank_sort_loss(logits, targets, ious, 0.5)]
    assert found != [part.item() for part in rank_sort_loss(logits, targets, ious, 1.0)]


@pytest.mark.usefixtures('in_both_ways')
@pytest.mark.parametrize('delta', [0.0, 0.5])
def test_boxes_in_the_order_of_their_scores_cost_nothing(delta):
    logits = torch.arange(8, 0, -1, dtype=torch.float64).requires_grad_()
    ious = torch.linspace(0.95, 0.3, 8, dtype=torch.float64)
    targets = torch.ones(8, dtype=torch.long)
    for part in rank_sort_loss(logits, targets, ious, delta):
        (grad,) = torch.autograd.grad(part, logits)
        assert part.item() == 0 and (grad == 0).all()
    _, reverse = rank_sort_loss(logits, targets, ious.flip(0), delta)
    assert reverse.item() > 0.05


@pytest.mark.usefixtures('in_both_ways')
@pytest.mark.parametrize('delta', [0.0, 0.5])
def test_labels_alone_decide_which_positive_is_pushed(delta):
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    _, loss = rank_sort_loss(logits, torch.tensor([1, 1]), torch.tensor([0.3, 0.8]), delta)
    (grad,) = torch.autograd.grad(loss, logits)
    assert grad[0] > 0 > grad[1]


@pytest.mark.usefixtures('in_both_ways')
def test_no_gradient_on_the_ious():
    logits, targets, ious = random_ranking(9, 40, seed=35)
    ious.requires_grad_()
    total = sum(rank_sort_loss(logits.requires_grad_(), targets, ious))
    (grad,) = torch.autograd.grad(total, ious, allow_unused=True)
    assert grad is None or (grad == 0).all()


@st.composite
def labelled(draw: st.DrawFn):
    scores = st.floats(-1e4, 1e4, allow_nan=False, width=32) | st.integers(-12, 12).map(
        lambda k: k / 4
    )
    labels = st.floats(0, 1, allow_nan=False) | st.sampled_from([0.0, 0.5, 0.75, 1.0])
    entry = st.tuples(scores, st.sampled_from([1, 1, 0, -1]), labels)
    entries = draw(st.lists(entry, max_size=30))
    logits = torch.tensor([s for s, _, _ in entries], dtype=torch.float64)
    targets = torch.tensor([t for _, t, _ in entries], dtype=torch.long)
    ious = torch.tensor([y for _, t, y in entries if t == 1], dtype=torch.float64)
    return logits, targets, ious


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    case=labelled(),
    delta=st.sampled_from([0.0, 0.25, 0.5, 7.0, 1e5]),
    way=st.sampled_from(list(WAYS)),
)
def test_pushes_and_pulls_cancel_in_each_part(case, delta, way):
    logits, targets, ious = case
    logits.requires_grad_()
    with comparing(way):
        rank, sort = rank_sort_loss(logits, targets, ious, delta)
        (ranked,) = torch.autograd.grad(rank, logits)
        (placed,) = torch.autograd.grad(sort, logits)
    assert 0 <= rank.item() < 1 and -1e-12 <= sort.item() <= 1
    assert torch.isfinite(ranked).all() and torch.isfinite(placed).all()
    assert (ranked[targets == 1] <= 0).all() and (ranked[targets == 0] >= 0).all()
    assert (placed[targets != 1] == 0).all() and (ranked[targets == -1] == 0).all()
    for grad in (ranked, placed):
        torch.testing.assert_close(grad.sum(), grad.new_zeros(()), rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=labelled(), delta=st.sampled_from([0.0, 0.5]))
def test_random_labels_against_the_oracle(case, delta):
    assert_both_parts((case[0].requires_grad_(), *case[1:]), delta)


@pytest.mark.parametrize('shape', [(2,), (4,), (3, 1), ()])
def test_one_iou_a_positive(shape):
    with pytest.raises(ValueError, match='ious') as caught:
        rank_sort_loss(torch.zeros(5), torch.tensor([1, 0, 1, -1, 1]), torch.zeros(shape))
    assert str(shape) in str(caught.value)
