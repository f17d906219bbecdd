"""PPO and random search: objective, learning, replay, errors."""

import math
import random

import pytest
import torch

from mmdet_alrp.segmentation.search import (
    PPO,
    RandomSearch,
    Round,
    SearchAlgorithm,
    SearchSpace,
    TruncatedNormal,
    build_algorithm,
    clipped_objective,
)

MIOU = SearchSpace('mIoU')
RATES = {'samples': 8, 'clip': 0.2, 'updates': 30, 'lr': 0.05}
VARIANTS = [
    {'baseline': baseline, 'ratio': ratio}
    for baseline in ('mean', 'centre')
    for ratio in ('joint', 'parameter')
]


def plain_objective(log_ratios, advantages, clip) -> float:
    """Eq. 7 of the PPO paper in plain numbers."""
    total = 0.0
    for row, advantage in zip(log_ratios, advantages, strict=True):
        for value in row:
            ratio = math.exp(value)
            clipped = min(max(ratio, 1 - clip), 1 + clip)
            total += min(ratio * advantage, clipped * advantage)
    return total / len(log_ratios)


@pytest.mark.parametrize('size', [1, 4])
@pytest.mark.parametrize('clip', [0.1, 0.5])
def test_the_clipped_objective_and_its_gradient_are_those_of_plain_loops(size, clip):
    draw = random.Random(0)
    rows = [[draw.gauss(0, 0.6) for _ in range(size)] for _ in range(20)]
    advantages = [draw.gauss(0, 1) for _ in range(19)] + [0.0]
    log_ratio = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    found = clipped_objective(log_ratio, torch.tensor(advantages)[:, None].double(), clip)
    assert found.item() == pytest.approx(plain_objective(rows, torch.tensor(advantages), clip))
    (grad,) = torch.autograd.grad(found, log_ratio)
    step = 1e-6
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            sides = []
            for shift in (step, -step):
                row[j] = value + shift
                sides.append(plain_objective(rows, advantages, clip))
            row[j] = value
            expected = (sides[0] - sides[1]) / (2 * step)
            assert grad[i, j].item() == pytest.approx(expected, abs=1e-6)
    assert (grad == 0).any() and (grad > 0).any() and (grad < 0).any()


def test_ratios_beyond_all_numbers_keep_the_objective_and_its_gradient_finite():
    log_ratio = torch.tensor([[5000.0], [5000.0], [-5000.0], [-5000.0]], requires_grad=True)
    value = clipped_objective(log_ratio, torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), 0.2)
    value.backward()
    assert value.isfinite() and log_ratio.grad.isfinite().all()


@pytest.mark.parametrize('ratio', ['joint', 'parameter'])
def test_the_first_step_goes_the_way_of_the_policy_gradient(ratio):
    algorithm = PPO(MIOU, 8, updates=1, lr=1e-3, ratio=ratio, seed=2)
    samples = torch.tensor(algorithm.propose(), dtype=torch.float64)
    rewards = [0.3, 0.1, 0.4, 0.15, 0.92, 0.6, 0.5, 0.35]
    algorithm.update(rewards)
    before = torch.tensor(algorithm.mean, dtype=torch.float64)
    algorithm.propose()
    moved = torch.tensor(algorithm.mean, dtype=torch.float64).logit() - before.logit()
    # At a ratio of 1 the gradient is that of REINFORCE; Adam's first step is lr times its sign.
    advantages = torch.tensor(rewards, dtype=torch.float64) - sum(rewards) / 8
    score = (advantages[:, None] * samples).sum(0)
    torch.testing.assert_close(moved, 1e-3 * score.sign(), rtol=1e-4, atol=0)


def smooth_reward(sample) -> float:
    """Best at .7 everywhere but the first numbers, where it is .2."""
    best = [0.2] * 4 + [0.7] * (len(sample) - 4)
    errors = [(a - b) ** 2 for a, b in zip(sample, best, strict=True)]
    return 0.8 - sum(errors) / len(errors)


def search(algorithm: SearchAlgorithm, rounds: int, noise: float = 0.0, seed: int = 0) -> list:
    draw, done = random.Random(seed), []
    for _ in range(rounds):
        samples = algorithm.propose()
        rewards = [smooth_reward(sample) + draw.gauss(0, noise) for sample in samples]
        done.append(Round(samples, rewards, algorithm.mean))
        algorithm.update(rewards)
    return done


@pytest.mark.parametrize('variant', VARIANTS)
def test_ppo_finds_the_best_of_a_smooth_reward(variant):
    algorithm = PPO(MIOU, 32, sigma=0.1, updates=30, lr=0.05, **variant)
    done = search(algorithm, 40)
    sample, _ = algorithm.winner(done)
    assert smooth_reward(MIOU.start) < 0.74
    assert smooth_reward(sample) > 0.795


@pytest.mark.parametrize('ratio', ['joint', 'parameter'])
def test_a_few_noisy_rounds_of_ppo_beat_random_search_in_reward_and_winner(ratio):
    last, winners = [], []
    for seed in range(8):
        ppo, chance = PPO(MIOU, **RATES, ratio=ratio, seed=seed), RandomSearch(MIOU, 8, seed=seed)
        pair = [search(algorithm, 6, 0.01, seed) for algorithm in (ppo, chance)]
        last.append([sum(map(smooth_reward, done[-1].samples)) / 8 for done in pair])
        found = [a.winner(done)[0] for a, done in zip((ppo, chance), pair, strict=True)]
        winners.append([smooth_reward(sample) for sample in found])
    assert all(ppo > chance for ppo, chance in last)
    assert sum(ppo for ppo, _ in winners) > sum(chance for _, chance in winners)


ALL = [(PPO, RATES | variant) for variant in [*VARIANTS, {'keep_adam': True}]]
ALL += [(RandomSearch, {'samples': 8})]


@pytest.mark.parametrize(('kind', 'options'), ALL)
def test_replayed_rewards_give_the_same_samples_bit_for_bit(kind, options):
    done = search(kind(MIOU, **options, seed=3), 4, noise=0.05)
    torch.rand(3)  # The global stream has no part in it.
    again = kind(MIOU, **options, seed=3)
    for entry in done:
        assert again.propose() == entry.samples == again.propose()
        assert again.mean == entry.mean
        again.update(entry.rewards)
    assert kind(MIOU, **options, seed=4).propose() != done[0].samples


@pytest.mark.parametrize(('kind', 'options'), ALL)
def test_samples_can_be_decoded_and_are_a_round(kind, options):
    space = SearchSpace({'mIoU': 1, 'BF1': 1}, 'linear')
    samples = kind(space, **options).propose()
    assert len(samples) == 8
    assert len(set(samples)) == len(samples)
    assert [list(space.decode(sample)) for sample in samples] == [['mIoU', 'BF1']] * len(samples)


def test_the_mean_itself_is_the_last_sample_and_its_reward_the_baseline():
    algorithm = PPO(MIOU, **RATES, baseline='centre')
    samples = algorithm.propose()
    assert samples[-1] == algorithm.mean == pytest.approx(MIOU.start)
    # As good as the centre: nothing to learn, whatever the mean of the rewards.
    algorithm.update([0.5] * 8)
    algorithm.propose()
    assert algorithm.mean == samples[-1]


def test_only_rewards_that_differ_from_the_means_own_teach():
    algorithm = PPO(MIOU, 8, updates=1, lr=1e-3, baseline='centre')
    samples = algorithm.propose()
    algorithm.update([0.5] * 4 + [0.9] * 3 + [0.5])
    before = torch.tensor(algorithm.mean, dtype=torch.float64)
    algorithm.propose()
    moved = torch.tensor(algorithm.mean, dtype=torch.float64) - before
    better = torch.tensor(samples[4:7], dtype=torch.float64)
    mean = before.clone().requires_grad_()
    (score,) = torch.autograd.grad(TruncatedNormal(mean, 0.2).log_prob(better).sum(), mean)
    assert torch.equal(moved.sign(), score.sign())


@pytest.mark.parametrize('keep_adam', [False, True])
def test_equal_rewards_leave_the_mean_where_it_is_unless_adam_goes_on(keep_adam):
    algorithm = PPO(MIOU, **RATES, keep_adam=keep_adam)
    search(algorithm, 2)
    algorithm.propose()
    before = algorithm.mean
    algorithm.update([0.25] * 8)
    algorithm.propose()
    assert (algorithm.mean == before) is not keep_adam


def test_the_size_of_rewards_does_not_matter_but_their_order_does():
    rewards = [0.3, 0.1, 0.4, 0.15, 0.92, 0.6, 0.5, 0.35]
    means = []
    for factor in (1, 0.01, -1):
        algorithm = PPO(MIOU, **RATES)
        algorithm.propose()
        algorithm.update([factor * reward for reward in rewards])
        algorithm.propose()
        means.append(algorithm.mean)
    assert means[1] == pytest.approx(means[0], abs=1e-4)
    assert means[2] != pytest.approx(means[0], abs=1e-2)


def test_a_given_start_is_the_first_mean():
    start = [0.1] * 11 + [0.8]
    algorithm = PPO(MIOU, start=start)
    assert algorithm.mean is None
    algorithm.propose()
    assert algorithm.mean == pytest.approx(start)


def test_the_best_round_gives_the_mean_and_random_search_the_best_sample():
    rounds = [
        Round([(0.1,), (0.2,)], [0.9, 0.1], (0.15,)),
        Round([(0.3,), (0.4,)], [0.6, 0.7], (0.35,)),
        Round([(0.5,), (0.6,)], [0.6, 0.7], (0.55,)),
    ]
    assert PPO(MIOU).winner(rounds) == ((0.35,), pytest.approx(0.65))
    assert RandomSearch(MIOU).winner(rounds) == ((0.1,), 0.9)
    for algorithm in (PPO(MIOU), RandomSearch(MIOU)):
        with pytest.raises(ValueError, match='no round is done'):
            algorithm.winner([])
    with pytest.raises(ValueError, match="the rounds hold no mean: they are not PPO's"):
        PPO(MIOU).winner([Round([(0.1,)], [0.9])])


def test_rewards_belong_to_proposed_samples():
    algorithm = RandomSearch(MIOU, 2)
    with pytest.raises(RuntimeError, match='propose a round before'):
        algorithm.update([0.1, 0.2])
    algorithm.propose()
    with pytest.raises(ValueError, match='expected 2 rewards, got 3'):
        algorithm.update([0.1, 0.2, 0.3])
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match='rewards must be finite'):
            algorithm.update([0.1, bad])
    algorithm.update([0.1, 0.2])


def test_algorithms_are_built_from_settings():
    ppo = build_algorithm({'type': 'PPO', **RATES}, MIOU, 5)
    assert isinstance(ppo, PPO) and ppo.propose() == PPO(MIOU, **RATES, seed=5).propose()
    chance = build_algorithm({'type': 'RandomSearch', 'samples': 3}, MIOU)
    assert chance.name == 'RandomSearch' and len(chance.propose()) == 3


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({}, 'type of algorithm must be one of PPO, RandomSearch, got None'),
        ({'type': 'ppo'}, 'type of algorithm must be one of PPO, RandomSearch'),
        ('PPO', 'algorithm must be a dict such as'),
        ({'type': 'PPO', 'rate': 1}, "PPO has no setting 'rate'; known are samples, sigma, clip"),
        ({'type': 'PPO', 'seed': 1}, "PPO has no setting 'seed'"),
        ({'type': 'RandomSearch', 'sigma': 0.2}, "RandomSearch has no setting 'sigma'"),
        ({'type': 'PPO', 'samples': 0}, 'samples must be a whole number >= 1'),
        ({'type': 'PPO', 'samples': 1}, 'samples must be at least 2'),
        ({'type': 'PPO', 'samples': 1, 'baseline': 'centre'}, 'samples must be at least 2'),
        ({'type': 'PPO', 'keep_adam': 1}, 'keep_adam must be True or False, got 1'),
        ({'type': 'PPO', 'samples': 8.0}, 'samples must be a whole number >= 1'),
        ({'type': 'PPO', 'updates': 0}, 'updates must be a whole number >= 1'),
        ({'type': 'PPO', 'sigma': 0}, 'sigma must be a number > 0'),
        ({'type': 'PPO', 'lr': math.nan}, 'lr must be a number > 0'),
        ({'type': 'PPO', 'lr': '0.1'}, 'lr must be a number > 0'),
        ({'type': 'PPO', 'clip': 1}, 'clip must be below 1'),
        ({'type': 'PPO', 'baseline': 'mu'}, 'baseline must be one of mean, centre'),
        ({'type': 'PPO', 'ratio': 'x'}, 'ratio must be one of joint, parameter'),
        ({'type': 'PPO', 'start': [0.5] * 11}, 'start must have 12 numbers, got 11'),
        ({'type': 'PPO', 'start': [0.5] * 11 + [1]}, 'start must be a list of numbers between 0'),
        ({'type': 'PPO', 'start': 'diagonal'}, 'start must be a list of numbers between 0 and 1'),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_algorithm(settings, MIOU)
    assert '\n' not in str(caught.value)


def test_a_seed_is_a_whole_number():
    with pytest.raises(ValueError, match='seed must be a whole number >= 0'):
        build_algorithm({'type': 'PPO'}, MIOU, seed=-1)
