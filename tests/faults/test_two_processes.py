import os

import pytest
import torch
from faulty_runs import Diary, Poison, build_runner, scene, scenes
from in_processes import run_in_processes
from tiny_detectors import HEADS, detector

from mmdet_alrp.engine.hooks import FiniteLossHook, SelfBalanceHook
from mmdet_alrp.guards.checkpoint_safety import load_safely
from mmdet_alrp.guards.errors import GuardError

HEAD = 'RankingRetinaHead'
STEPS_WITHOUT = 55
WRAPPER = {
    'type': 'MMDistributedDataParallel',
    'device_ids': None,
    'broadcast_buffers': False,
}
IN_GROUP = {'launcher': 'pytorch', 'cfg': {'model_wrapper_cfg': WRAPPER}, 'batch_size': 1}
RATIO = 'bbox_head.loss_cls.balance.ratio'


def run(folder, data, hooks, **changes):
    diary = Diary()
    hooks = [*hooks, SelfBalanceHook(), diary]
    runner = build_runner(folder, detector(HEAD), data, hooks, **{**IN_GROUP, **changes})
    message = ''
    try:
        runner.train()
    except GuardError as error:
        message = str(error)
    return runner, diary, message


def warnings_of(work_dir):
    lines = [line for log in work_dir.glob('*/*.log') for line in log.read_text().splitlines()]
    return [line for line in lines if 'left out' in line]


def dropped_together(rank, folder):
    """Eight scenes, four steps; the second process has a NaN in its second and third."""
    poison = Poison(HEADS[HEAD].logits, float('nan'), (1, 2) if rank == 1 else ())
    _, diary, _ = run(f'{folder}/skip', scenes(8), [poison, FiniteLossHook('skip')])
    same = [diary.same(step, step + 1) for step in range(4)]
    poison = Poison(HEADS[HEAD].logits, float('nan'), (1,) if rank == 1 else ())
    _, _, message = run(f'{folder}/raise', scenes(8), [poison, FiniteLossHook()])
    return {'same': same, 'finite': diary.is_finite(), 'last': diary.pages[-1][0], 'error': message}


def judged_by_logits_alone(rank, folder):
    """The second process has no box: its NaN shows neither in a loss nor in a gradient."""
    data = [part for seed in range(3) for part in (scene(seed=seed), scene([], [], seed=seed))]
    poison = Poison(HEADS[HEAD].logits, float('nan'), (1,) if rank == 1 else ())
    _, diary, _ = run(f'{folder}/logits', data, [poison, FiniteLossHook('skip')])
    return [diary.same(step, step + 1) for step in range(3)]


def nothing_to_learn(rank, folder):
    """The second process sees black images without a box, for many steps."""
    black = [scene([], [], seed=seed) for seed in range(STEPS_WITHOUT)]
    for item in black:
        item['inputs'].zero_()
    data = [item for pair in zip(scenes(STEPS_WITHOUT), black, strict=True) for item in pair]
    _, diary, message = run(f'{folder}/black', data, [FiniteLossHook('skip')])
    boxes = [step['loss_bbox'] for step in diary.losses]
    return {'weights': diary.pages[-1][0], 'finite': diary.is_finite(), 'boxes': boxes} | {
        'steps': len(diary.losses),
        'error': message,
        'moved': not diary.same(-2, -1),
    }


def resumed(rank, folder):
    """Go on in two processes with what one process has trained for an epoch."""
    changes = {'load_from': f'{folder}/alone/epoch_1.pth', 'resume': True, 'epochs': 2}
    runner, diary, _ = run(f'{folder}/both', scenes(8), [FiniteLossHook()], **changes)
    first = diary.pages[0][0][RATIO].item()
    last = runner.model.module.state_dict()[RATIO].item()  # set when the epoch ended
    return {'epoch': runner.epoch, 'steps': len(diary.losses), 'first': first, 'last': last} | {
        'losses': diary.losses
    }


def worker(rank, world_size):
    os.environ.update(LOCAL_RANK=str(rank), CUDA_VISIBLE_DEVICES='-1')
    folder = os.environ['FAULTS_FOLDER']
    tasks = (dropped_together, judged_by_logits_alone, nothing_to_learn, resumed)
    return {task.__name__: task(rank, folder) for task in tasks}


def trained_alone(folder, **changes):
    return run(folder, scenes(8), [FiniteLossHook()], launcher='none', batch_size=2, **changes)


@pytest.fixture(scope='module')
def group(tmp_path_factory):
    """What both processes of one group saw, and where; one process trained the first epoch."""
    folder = tmp_path_factory.mktemp('group')
    trained_alone(folder / 'alone')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FAULTS_FOLDER', str(folder))
        found = run_in_processes(worker, 2, folder)
    return folder, found


def test_all_processes_drop_a_step_together(group):
    folder, found = group
    for part in (entry['dropped_together'] for entry in found):
        assert part['same'] == [False, True, True, False]
        assert part['finite']
    first, second = (entry['dropped_together']['last'] for entry in found)
    for name in first:
        if 'running' not in name and 'sums' not in name:  # statistics are each process's own
            torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    lines = warnings_of(folder / 'skip')
    assert ['number 1 in a row' in lines[0], 'number 2 in a row' in lines[1]] == [True, True]
    expected = 'bbox_head (RankingRetinaHead): loss_cls = nan, loss_bbox = nan (images 3.png); the'
    assert f'iteration 2, {expected} step is left out' in lines[0]


def test_all_processes_drop_a_step_for_the_logits_of_one(group):
    folder, found = group
    assert [entry['judged_by_logits_alone'] for entry in found] == [[False, True, False]] * 2
    (line,) = warnings_of(folder / 'logits')
    assert f'bbox_head ({HEAD}): logits = nan or inf (images scene.png); the step' in line


def test_all_processes_end_together_with_one_message(group):
    folder, found = group
    first, second = (entry['dropped_together']['error'] for entry in found)
    assert first == second
    assert first.startswith('iteration 2, bbox_head (RankingRetinaHead): loss_cls = nan, ')
    assert '(images 3.png)' in first  # of the second process
    assert not list((folder / 'raise').glob('*.pth'))


def test_process_without_image_content_or_positives_for_many_steps(group):
    _, found = group
    first, second = (entry['nothing_to_learn'] for entry in found)
    assert first['steps'] == second['steps'] == STEPS_WITHOUT
    assert first['error'] == second['error'] == ''
    assert first['finite'] and second['finite'] and first['moved']
    assert all(value > 0 for value in first['boxes'])
    assert second['boxes'] == [0] * STEPS_WITHOUT
    for name, value in first['weights'].items():
        if 'running' not in name and 'sums' not in name:
            torch.testing.assert_close(value, second['weights'][name], rtol=0, atol=0)


def test_resume_from_one_process_to_two(group):
    folder, found = group
    state = load_safely(folder / 'alone' / 'epoch_1.pth')
    parts = [entry['resumed'] for entry in found]
    for part in parts:
        assert (part['epoch'], part['steps']) == (2, 4)  # the second epoch and nothing else
        assert part['first'] == state['state_dict'][RATIO].item() != 50
    losses = [step for part in parts for step in part['losses']]
    loc = sum(step['loc_error'] for step in losses)
    expected = (sum(step['loss_cls'] for step in losses) + loc) / loc
    assert parts[0]['last'] == parts[1]['last'] == pytest.approx(expected, rel=1e-4)
    meta = load_safely(folder / 'both' / 'epoch_2.pth')['meta']
    assert (meta['epoch'], meta['iter']) == (2, 8)


def test_resume_from_two_processes_to_one(group, tmp_path):
    folder, found = group
    path = str(folder / 'both' / 'epoch_2.pth')
    runner, diary, _ = trained_alone(tmp_path, load_from=path, resume=True, epochs=3)
    assert diary.pages[0][0][RATIO].item() == found[0]['resumed']['last']
    assert (runner.epoch, len(diary.losses)) == (3, 4)
    assert diary.is_finite()
    meta = load_safely(tmp_path / 'epoch_3.pth')['meta']
    assert (meta['epoch'], meta['iter']) == (3, 12)
