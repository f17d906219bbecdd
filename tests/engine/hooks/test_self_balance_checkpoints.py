"""What a run takes over from the checkpoint of another one, with and without averaged weights."""

import pytest
import torch
from balanced_runs import EPOCHS, build_runner, ratios_by_hand, ratios_of
from mmengine.hooks import EMAHook

from mmdet_alrp.engine.hooks import SelfBalanceHook
from mmdet_alrp.guards.checkpoint_safety import load_safely

FIRST = [50.0, 20.0]
HEADS = ('rpn', 'roi')
ITERATIONS = {'by_epoch': False, 'max_iters': 8}
AVERAGES = {'copied buffers': {}, 'averaged buffers': {'update_buffers': True}}


def balance_of(state, name, prefix=''):
    return torch.stack([state[f'{prefix}{head}.balance.{name}'] for head in HEADS])


def train(folder, train_cfg=EPOCHS, ema=None, interval=None, first='balance', **changes):
    """Train the toy model; ``ema`` holds the options of EMAHook, None leaves it out."""
    hooks = [SelfBalanceHook(interval)]
    if ema is not None:
        hooks.insert(first == 'balance', EMAHook(momentum=0.01, **ema))
    runner, recorder = build_runner(folder, train_cfg, *hooks, **changes)
    runner.train()
    return runner, recorder


@pytest.fixture(scope='module', params=AVERAGES.values(), ids=AVERAGES)
def averaged(request, tmp_path_factory):
    """A run of three epochs with averaged weights, its recorder and its folder."""
    folder = tmp_path_factory.mktemp('averaged')
    return *train(folder, ema=request.param), folder


def test_run_that_takes_weights_starts_its_sums_from_nothing(tmp_path):
    train(tmp_path / 'before', ITERATIONS, interval=4)
    path = str(tmp_path / 'before' / 'iter_6.pth')
    saved = load_safely(path)['state_dict']
    assert (balance_of(saved, 'sums') > 0).all()  # the checkpoint is of the middle of a period
    _, recorder = train(tmp_path / 'after', ITERATIONS, interval=4, load_from=path)
    # as documented, the ratio is that of the weights until the first period ends
    assert recorder.ratios[:4] == [balance_of(saved, 'ratio').tolist()] * 4
    assert recorder.ratios[4] == pytest.approx(ratios_by_hand(recorder.steps[:4]), rel=1e-5)


@pytest.mark.parametrize('ema', AVERAGES.values(), ids=AVERAGES)
def test_average_of_a_run_that_takes_weights_has_no_sums_of_theirs(tmp_path, ema):
    train(tmp_path / 'before', ITERATIONS, interval=4)
    path = str(tmp_path / 'before' / 'iter_6.pth')
    _, recorder = train(tmp_path / 'after', ITERATIONS, ema, interval=4, load_from=path)
    saved = load_safely(tmp_path / 'after' / 'iter_1.pth')
    first = recorder.steps[0]
    torch.testing.assert_close(balance_of(saved['state_dict'], 'sums'), first)
    torch.testing.assert_close(balance_of(saved['ema_state_dict'], 'sums', 'module.'), first)


@pytest.mark.parametrize('epoch', [1, 2])
def test_both_models_of_an_epochs_checkpoint_have_the_new_ratio(averaged, epoch):
    _, recorder, folder = averaged
    checkpoint = load_safely(folder / f'epoch_{epoch}.pth')
    assert checkpoint['state_dict']['factor'] != checkpoint['ema_state_dict']['module.factor']
    for part, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
        ratios = balance_of(checkpoint[part], 'ratio', prefix).tolist()
        assert ratios == recorder.ratios[4 * epoch]
        assert not balance_of(checkpoint[part], 'sums', prefix).any()


@pytest.mark.parametrize('first', ['balance', 'average'])
@pytest.mark.parametrize('ema', AVERAGES.values(), ids=AVERAGES)
def test_checkpoint_within_a_period_has_its_sums_in_both_models(tmp_path, ema, first):
    _, recorder = train(tmp_path, ITERATIONS, ema, interval=4, first=first)
    checkpoint = load_safely(tmp_path / 'iter_6.pth')
    for part, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
        expected = torch.stack(recorder.steps[4:6]).sum(0)
        torch.testing.assert_close(balance_of(checkpoint[part], 'sums', prefix), expected)
        assert balance_of(checkpoint[part], 'ratio', prefix).tolist() == recorder.ratios[6]


@pytest.mark.parametrize('ema', [None, {}], ids=['without', 'with'])
def test_resumed_run_goes_on_with_the_ratio(averaged, tmp_path, ema):
    whole, recorder, folder = averaged
    path = str(folder / 'epoch_1.pth')
    resumed, after = train(tmp_path, ema=ema, load_from=path, resume=True)
    assert after.ratios[0] == recorder.ratios[4] != FIRST
    assert after.ratios[4] == pytest.approx(ratios_by_hand(after.steps[:4]), rel=1e-5)
    assert ratios_of(resumed) == pytest.approx(ratios_of(whole), rel=1e-5)


@pytest.mark.parametrize('ema', AVERAGES.values(), ids=AVERAGES)
def test_resumed_run_that_begins_to_average_goes_on_with_the_ratio(tmp_path, ema):
    whole, recorder = train(tmp_path / 'whole')
    path = str(tmp_path / 'whole' / 'epoch_1.pth')
    resumed, after = train(tmp_path / 'resumed', ema=ema, load_from=path, resume=True)
    assert after.ratios[0] == recorder.ratios[4] != FIRST
    assert ratios_of(resumed) == ratios_of(whole)
    checkpoint = load_safely(tmp_path / 'resumed' / 'epoch_2.pth')
    assert balance_of(checkpoint['state_dict'], 'ratio').tolist() == after.ratios[4]


@pytest.mark.parametrize('ema', [None, {}], ids=['without', 'with'])
def test_run_resumed_within_a_period_keeps_its_sums(tmp_path, ema):
    _, recorder = train(tmp_path / 'whole', ITERATIONS, {}, interval=4)
    path = str(tmp_path / 'whole' / 'iter_6.pth')
    resumed, after = train(
        tmp_path / 'resumed', ITERATIONS, ema, interval=4, load_from=path, resume=True
    )
    assert after.ratios[0] == recorder.ratios[6]
    expected = ratios_by_hand(recorder.steps[4:6] + after.steps)
    assert len(after.steps) == 2
    assert ratios_of(resumed) == pytest.approx(expected, rel=1e-5)
