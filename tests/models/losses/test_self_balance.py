import math

import pytest
import torch

from mmdet_alrp.models.losses import SelfBalance

LOSSES = [(0.9, 0.02), (0.7, 0.04), (0.8, 0.0), (0.6, 0.05)]  # L_cls and L_loc of four steps


def run(balance, losses=LOSSES):
    return [
        balance(torch.tensor(loss_cls), torch.tensor(loss_loc)) for loss_cls, loss_loc in losses
    ]


def test_localisation_loss_is_weighted_and_keeps_its_gradient():
    loss_cls = torch.tensor(0.5, requires_grad=True)
    loss_loc = torch.tensor(0.1, requires_grad=True)
    balanced = SelfBalance()(loss_cls, loss_loc)
    balanced.backward()
    assert balanced.item() == pytest.approx(5.0)
    assert loss_loc.grad == 50
    assert loss_cls.grad is None


def test_ratio_is_mean_of_the_sum_over_mean_of_the_localisation_part():
    balance = SelfBalance()
    run(balance)
    assert balance.end_period(balance.sums.clone())
    # (.92 + .74 + .80 + .65) / 4 over (.02 + .04 + 0 + .05) / 4
    assert balance.ratio.item() == pytest.approx(3.11 / 0.11, rel=1e-6)
    assert not balance.sums.any()


def test_each_period_counts_for_itself():
    balance = SelfBalance()
    run(balance)
    balance.end_period(balance.sums.clone())
    (weighted,) = run(balance, [(0.3, 0.1)])
    assert weighted.item() == pytest.approx(0.1 * 3.11 / 0.11, rel=1e-6)
    balance.end_period(balance.sums.clone())
    assert balance.ratio.item() == pytest.approx(4.0, rel=1e-6)


def test_end_of_period_accepts_the_own_sums():
    balance = SelfBalance()
    run(balance)
    assert balance.end_period(balance.sums)
    assert balance.ratio.item() == pytest.approx(3.11 / 0.11, rel=1e-6)
    assert not balance.sums.any()


@pytest.mark.parametrize('enabled', [True, False])
@pytest.mark.parametrize('training', [True, False])
def test_losses_are_noted_only_in_training_and_only_if_enabled(enabled, training):
    balance = SelfBalance(enabled).train(training)
    run(balance)
    expected = [3.0, 0.11] if enabled and training else [0.0, 0.0]
    torch.testing.assert_close(balance.sums, torch.tensor(expected))


def test_sums_hold_no_graph_and_no_half_precision():
    balance = SelfBalance()
    loss = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    balance(loss, loss)
    balance(loss.bfloat16(), loss.bfloat16())
    assert not balance.sums.requires_grad
    assert balance.sums.dtype == torch.float32
    torch.testing.assert_close(balance.sums, torch.ones(2))


def test_state_dict_carries_ratio_and_unfinished_period():
    balance = SelfBalance()
    run(balance)
    balance.end_period(balance.sums.clone())
    run(balance, [(0.3, 0.1)])
    assert set(balance.state_dict()) == {'ratio', 'sums'}
    restored = SelfBalance()
    restored.load_state_dict(balance.state_dict())
    run(restored, [(0.1, 0.1)])
    restored.end_period(restored.sums.clone())
    assert restored.ratio.item() == pytest.approx(0.6 / 0.2, rel=1e-6)


@pytest.mark.parametrize(
    'sums',
    [
        (0.0, 0.0),
        (5.0, 0.0),
        (math.nan, 1.0),
        (1.0, math.nan),
        (math.inf, 1.0),
        (1.0, math.inf),
        (1.0, -1.0),
    ],
)
def test_ratio_stays_where_the_sums_give_none(sums):
    balance = SelfBalance(initial_ratio=7.0)
    run(balance)
    assert not balance.end_period(torch.tensor(sums))
    assert balance.ratio == 7
    # the next period starts afresh
    assert not balance.sums.any()


@pytest.mark.parametrize(
    ('options', 'ratio'), [({}, 50), ({'enabled': False}, 1), ({'initial_ratio': 3}, 3)]
)
def test_first_ratio(options, ratio):
    balance = SelfBalance(**options)
    assert balance.ratio == ratio
    assert balance.ratio.dtype == torch.float32


@pytest.mark.parametrize('initial_ratio', [0, -1, math.inf, math.nan])
def test_ratio_must_be_positive(initial_ratio):
    with pytest.raises(ValueError, match=f'positive number, got {initial_ratio}'):
        SelfBalance(initial_ratio=initial_ratio)


def test_a_fixed_ratio_neither_takes_nor_gives_one_by_checkpoint():
    """Fine-tuning without balance keeps its weight; balancing after it starts from the start."""
    balanced, fixed = SelfBalance(), SelfBalance(enabled=False, initial_ratio=2.0)
    run(balanced)
    balanced.end_period(balanced.sums)
    fixed.load_state_dict(balanced.state_dict(), strict=False)
    assert fixed.ratio == 2

    started = SelfBalance()
    started.load_state_dict(fixed.state_dict(), strict=False)
    assert started.ratio == 50
