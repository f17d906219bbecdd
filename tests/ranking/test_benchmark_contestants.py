"""The other ways to rank that are timed are right, and what is counted beside time is."""

from pathlib import Path

import oracle
import pytest
import torch

from mmdet_alrp.ranking import average_precision_loss, rank_sort_loss

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'
CPU = torch.device('cpu')


@pytest.fixture
def matrix_losses(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import matrix_losses

    return matrix_losses


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
def test_bucketed_ap_is_ours_with_the_hard_step(matrix_losses, case):
    logits, targets, _ = case
    loss = average_precision_loss(logits, targets, delta=0)
    (grad,) = torch.autograd.grad(loss, logits)
    value, found = matrix_losses.bucketed_ap(logits, targets)
    torch.testing.assert_close(value, loss.detach())
    torch.testing.assert_close(found, grad)
    torch.testing.assert_close(found, oracle.average_precision(logits, targets, 0).grad)


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_bucketed_rank_sort_is_ours_with_the_hard_step(matrix_losses, case):
    logits, targets, ious = case
    loss = sum(rank_sort_loss(logits, targets, ious, delta=0))
    (grad,) = torch.autograd.grad(loss, logits)
    value, found = matrix_losses.bucketed_rank_sort(logits, targets, ious)
    torch.testing.assert_close(value, loss.detach())
    torch.testing.assert_close(found, grad)


def test_leaving_out_what_is_below_all_positives_changes_nothing(matrix_losses):
    import ranking_contestants

    logits, targets, loc_errors = ranking_contestants.make_batch(3000, 10, CPU)
    batch = ((logits + 3 * targets).detach().requires_grad_(), targets, loc_errors)
    index, *_ = matrix_losses.only_relevant(*batch[:2])
    assert 10 < len(index) < 1500
    expected = ranking_contestants.our_hard_ap(*batch)
    for contestant in ('bucketing_ap', 'bucketing_relevant_ap'):
        found = getattr(ranking_contestants, contestant)(*batch)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


def test_bucketing_of_rank_sort_is_timed_on_the_same_ious(matrix_losses):
    import ranking_contestants

    logits, targets, loc_errors = ranking_contestants.make_batch(400, 12, CPU)
    expected = sum(part.grad for part in oracle.rank_sort(logits, targets, 1 - loc_errors / 2, 0))
    found = ranking_contestants.bucketing_rank_sort(logits, targets, loc_errors)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('num_ignored', [0, 30])
def test_full_matrix_is_the_definition(matrix_losses, num_ignored):
    logits, targets, errors = make_case(150, 20, num_ignored)
    value, grad = matrix_losses.full_matrix_alrp(logits, targets, errors, 1.0)
    expected = oracle.alrp_cls(logits, targets, errors)
    assert float(value) == pytest.approx(expected.loss)
    torch.testing.assert_close(grad, expected.grad)


def test_peak_memory_of_a_call(matrix_losses):
    import call_costs

    def call():
        first = torch.zeros(10**6)  # 4 MB
        second = first + 1  # 8 MB
        del first
        third = second.double()  # 4 + 8 MB
        del second
        return third[:10].clone()

    costs = call_costs.costs_of(call, CPU)
    assert 12e6 <= costs.peak_bytes < 12.1e6
    assert costs[1:] == (None, None, None)


def test_kernels_and_waits_are_counted_by_their_names(matrix_losses):
    import call_costs

    names = ['cudaLaunchKernel', 'aten::add', 'cudaLaunchKernelExC', 'cudaMemcpyAsync']
    names += ['cudaStreamSynchronize', 'cuLaunchKernel', 'cudaDeviceSynchronize', 'cudaMalloc']
    assert call_costs.count_launches(names) == (3, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_costs_on_cuda(matrix_losses):
    import call_costs

    values = torch.ones(10**6, device='cuda')
    costs = call_costs.costs_of(lambda: (values * 2).sum().item(), values.device)
    assert costs.kernels >= 2 and costs.waits >= 1 and costs.peak_bytes >= 4e6
    costs = call_costs.costs_of(lambda: values * 2, values.device)
    assert (costs.kernels, costs.waits) == (1, 0)
    assert 0 < costs.gpu_seconds < 1
