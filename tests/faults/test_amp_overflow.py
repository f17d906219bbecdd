import pytest
import torch
from faulty_runs import SGD, Diary, Poison, build_runner, scenes
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from tiny_detectors import HEADS, detector

from mmdet_alrp.engine.hooks import FiniteLossHook
from mmdet_alrp.guards.errors import NotFiniteError

HEAD = 'RankingRetinaHead'
OVERFLOWING = 1e38  # times the loss of these scenes: gradients beyond float32


class ScaledOnCpu(AmpOptimWrapper):
    """MMEngine's wrapper with its loss scaler, on the CPU, where it refuses to be built."""

    def __init__(self, optimizer, init_scale, clip_grad=None):
        OptimWrapper.__init__(self, optimizer, clip_grad=clip_grad)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=init_scale, backoff_factor=1e-36)
        self._scale_update_param = None
        self.cast_dtype = torch.bfloat16


def scaled_run(folder, hook, init_scale, iterations=(), clip_grad=None):
    diary = Diary()
    hooks = [Poison(HEADS[HEAD].logits, float('nan'), iterations), hook, diary]
    runner = build_runner(folder, detector(HEAD), scenes(8), [*hooks, {'type': 'SelfBalanceHook'}])
    model = runner.model
    optimizer = torch.optim.SGD(model.parameters(), lr=SGD['lr'], momentum=0.9)
    runner.optim_wrapper = ScaledOnCpu(optimizer, init_scale, clip_grad)
    return runner, diary


def weights_moved(diary, page):
    before, after = diary.pages[page][0], diary.pages[page + 1][0]
    return any(not torch.equal(before[name], after[name]) for name in before if 'weight' in name)


def left_out(work_dir):
    lines = [line for log in work_dir.glob('*/*.log') for line in log.read_text().splitlines()]
    return [line for line in lines if 'left out' in line]


@pytest.mark.parametrize('clip_grad', [None, {'max_norm': 10}], ids=['', 'clip_grad'])
@pytest.mark.parametrize('action', ['raise', 'skip'])
def test_scaler_finds_its_scale_undisturbed(tmp_path, action, clip_grad):
    runner, diary = scaled_run(tmp_path, FiniteLossHook(action), OVERFLOWING, (), clip_grad)
    runner.train()
    assert runner.optim_wrapper.loss_scaler.get_scale() == pytest.approx(100)
    assert [weights_moved(diary, step) for step in range(4)] == [False, True, True, True]
    assert diary.is_finite()
    assert not left_out(tmp_path)


def test_overflow_of_the_forward_pass_is_skipped_with_a_warning(tmp_path):
    runner, diary = scaled_run(tmp_path, FiniteLossHook('skip'), 64.0, (1,))
    runner.train()
    assert not diary.same(0, 1) and diary.same(1, 2) and not diary.same(2, 3)
    assert diary.is_finite()
    (line,) = left_out(tmp_path)
    assert f'iteration 2, bbox_head ({HEAD}): loss_cls = nan' in line


def test_overflow_of_the_forward_pass_raises(tmp_path):
    runner, _ = scaled_run(tmp_path, FiniteLossHook(), 64.0, (1,))
    with pytest.raises(NotFiniteError, match=rf'iteration 2, bbox_head \({HEAD}\): loss_cls = nan'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))
