"""The other ways to rank that are timed are right."""

import bucketing
import oracle
import pytest
import ranking_contestants
import torch

from mmdet_alrp.ranking import average_precision_loss, rank_sort_loss

CPU = torch.device('cpu')


def make_case(num, num_pos, num_ignored=0, lift=0.5, seed=0):
    """Distinct logits in float64, some of the negatives in long runs, and IoUs with ties."""
    gen = torch.Generator().manual_seed(seed)
    logits = torch.randn(num, generator=gen, dtype=torch.float64)
    places = torch.randperm(num, generator=gen)
    targets = torch.zeros(num, dtype=torch.long)
    targets[places[:num_pos]] = 1
    targets[places[num_pos : num_pos + num_ignored]] = -1
    logits[targets == 1] += lift
    ious = torch.randint(1, 6, (num_pos,), generator=gen).double() / 5
    return logits.requires_grad_(), targets, ious


CASES = {
    'many negatives': make_case(600, 15),
    'ignored logits': make_case(200, 12, num_ignored=80),
    'more positives than negatives': make_case(60, 50),
    'positives on top': make_case(80, 10, lift=20),
    'positives at the bottom': make_case(80, 10, lift=-20),
    'one positive': make_case(50, 1),
    'positives alone': make_case(9, 9),
}


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_bucketed_ap_is_ours_with_the_hard_step(case):
    logits, targets, _ = case
    loss = average_precision_loss(logits, targets, delta=0)
    (grad,) = torch.autograd.grad(loss, logits)
    value, found = bucketing.bucketed_ap(logits, targets)
    torch.testing.assert_close(value, loss.detach())
    torch.testing.assert_close(found, grad)
    torch.testing.assert_close(found, oracle.average_precision(logits, targets, 0).grad)


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_bucketed_rank_sort_is_ours_with_the_hard_step(case):
    logits, targets, ious = case
    loss = sum(rank_sort_loss(logits, targets, ious, delta=0))
    (grad,) = torch.autograd.grad(loss, logits)
    value, found = bucketing.bucketed_rank_sort(logits, targets, ious)
    torch.testing.assert_close(value, loss.detach())
    torch.testing.assert_close(found, grad)


@pytest.mark.parametrize('name', ['loop_over_positives', 'our_alrp'])
def test_the_loop_that_is_timed_computes_the_same_gradient(name):
    batch = ranking_contestants.make_batch(400, 12, CPU)
    expected = oracle.alrp_cls(*batch).grad.float()
    found = getattr(ranking_contestants, name)(*batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ('name', 'delta'), [('our_rank_sort', (0.5,)), ('bucketing_rank_sort', (0,))]
)
def test_rank_sort_is_timed_on_the_ious_of_the_same_boxes(name, delta):
    logits, targets, loc_errors = ranking_contestants.make_batch(300, 12, CPU)
    parts = oracle.rank_sort(logits, targets, 1 - loc_errors / 2, *delta)
    expected = sum(part.grad for part in parts).float()
    found = getattr(ranking_contestants, name)(logits, targets, loc_errors)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ('state', 'width', 'lift'), [('first', 0.04, 0), ('spread', 12, 0.6), ('trained', 17, 5)]
)
def test_states_of_the_scores(state, width, lift):
    batch = ranking_contestants.make_batch(20000, 2000, CPU, state=state)
    logits, targets = batch[0].detach(), batch[1]
    assert logits.max() - logits.min() <= width
    above = logits[targets == 1].mean() - logits[targets == 0].mean()
    assert float(above) == pytest.approx(lift, abs=0.1)


def test_the_fused_focal_loss_is_a_focal_loss():
    pytest.importorskip('triton', minversion='3.0')  # as in interpreted.py
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    logits, targets, loc_errors = ranking_contestants.make_batch(3000, 40, device)
    logits = (logits * 2).detach().requires_grad_()
    expected = ranking_contestants.focal(logits, targets, loc_errors)
    found = ranking_contestants.fused_focal(logits, targets, loc_errors)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
