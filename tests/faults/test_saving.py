import os
import signal

import pytest
from faulty_runs import build_runner, scenes
from in_processes import start_program
from mmengine.hooks import CheckpointHook, Hook
from tiny_detectors import detector
from tiny_runs import REPO, one_line_error, run_here, write_config

from mmdet_alrp.guards.checkpoint_safety import load_safely
from mmdet_alrp.guards.errors import CheckpointNotSavedError
from mmdet_alrp.guards.whole_files import WholeFileBackend

NEEDS_FULL_DEVICE = pytest.mark.skipif(
    not os.path.exists('/dev/full'), reason='no device that is always full'
)
SAFE = {'type': 'SafeCheckpointHook', 'interval': 1, 'max_keep_ckpts': 1}


class Score(Hook):
    """Reports a better score after each epoch, as a validation would."""

    priority = 'LOWEST'  # after the hook that saves

    def after_train_epoch(self, runner):
        (saver,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
        runner.train_loop._epoch += 1
        saver.after_val_epoch(runner, {'score': runner.epoch})
        runner.train_loop._epoch -= 1


def run(folder, epochs=2, hooks=(), resume=False, **options):
    changes = {'default_hooks': {'checkpoint': {**SAFE, **options}}, 'resume': resume}
    return build_runner(folder, detector(), scenes(2), hooks, epochs=epochs, **changes)


def fill_disk(folder, name):
    """Let writing a file of this name end as on a full disk."""
    folder.mkdir(exist_ok=True)
    (folder / f'.{name}.part').symlink_to('/dev/full')


def names(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def assert_whole(path):
    checkpoint = load_safely(path)
    assert {'state_dict', 'meta', 'message_hub'} <= checkpoint.keys()
    return checkpoint


@NEEDS_FULL_DEVICE
def test_full_disk_keeps_the_old_checkpoint_and_resume_works(tmp_path):
    fill_disk(tmp_path, 'epoch_2.pth')
    with pytest.raises(CheckpointNotSavedError) as caught:
        run(tmp_path).train()
    message = str(caught.value)
    assert message.startswith('the checkpoint could not be saved (No space left on device')
    assert f'{tmp_path}/epoch_1.pth is whole: make room and go on with --resume' in message
    assert '\n' not in message
    assert names(tmp_path) == ['epoch_1.pth']
    assert not list(tmp_path.glob('.*.part'))
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
    assert_whole(tmp_path / 'epoch_1.pth')
    run(tmp_path, resume=True).train()
    assert names(tmp_path) == ['epoch_2.pth']


@NEEDS_FULL_DEVICE
def test_full_disk_keeps_the_best_checkpoint(tmp_path):
    fill_disk(tmp_path, 'best_score_epoch_2.pth')
    with pytest.raises(CheckpointNotSavedError, match='No space left on device'):
        run(tmp_path, hooks=[Score()], save_best='score', rule='greater').train()
    assert 'best_score_epoch_1.pth' in names(tmp_path)
    assert_whole(tmp_path / 'best_score_epoch_1.pth')


@NEEDS_FULL_DEVICE
def test_full_disk_at_the_first_checkpoint(tmp_path):
    fill_disk(tmp_path, 'epoch_1.pth')
    with pytest.raises(
        CheckpointNotSavedError, match='there is no earlier one: make room and start again'
    ):
        run(tmp_path).train()
    assert names(tmp_path) == []


def test_old_checkpoints_go_when_the_new_one_is_there(tmp_path):
    run(tmp_path, 3, [Score()], save_best='score', rule='greater').train()
    assert names(tmp_path) == ['best_score_epoch_3.pth', 'epoch_3.pth']
    assert assert_whole(tmp_path / 'epoch_3.pth')['meta']['epoch'] == 3


def test_file_is_replaced_only_as_a_whole(tmp_path):
    backend, path = WholeFileBackend(), tmp_path / 'folder' / 'file'
    backend.put(b'old', path)
    backend.put(b'new', path)
    assert path.read_bytes() == b'new'
    (tmp_path / 'folder' / '.file.part').mkdir()  # cannot be written
    with pytest.raises(OSError, match='directory'):
        backend.put(b'newer', path)
    assert path.read_bytes() == b'new'


def test_kill_during_save_keeps_the_old_checkpoint_and_resume_works(tiny_shapes, tmp_path):
    hooks = {'checkpoint': SAFE, 'logger': {'type': 'LoggerHook', 'interval': 1}}
    config = write_config(tmp_path / 'kill.py', tiny_shapes, epochs=2, default_hooks=hooks)
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    part = work_dir / '.epoch_2.pth.part'
    os.mkfifo(part)  # takes a little of the checkpoint and then lets the writer wait
    process = start_program(REPO / 'tools' / 'train.py', [config, '--work-dir', work_dir], tmp_path)
    with part.open('rb') as file:
        half = file.read(1000)
        process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(half) == 1000  # the save had begun
    part.unlink()
    part.write_bytes(half)  # what a disk would have kept
    assert names(work_dir) == ['epoch_1.pth']
    assert_whole(work_dir / 'epoch_1.pth')
    result = run_here('train.py', config, '--work-dir', work_dir, '--resume', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert names(work_dir) == ['epoch_2.pth']
    assert assert_whole(work_dir / 'epoch_2.pth')['meta']['epoch'] == 2
    assert not part.exists()


@pytest.mark.parametrize('size', [0, 100, 5000, 100_000])
def test_half_checkpoint_is_refused_in_one_line(tiny_shapes, tmp_path, capsys, size):
    config = write_config(tmp_path / 'tiny.py', tiny_shapes)
    run(tmp_path, 1).train()
    whole = (tmp_path / 'epoch_1.pth').read_bytes()
    assert len(whole) > size
    (tmp_path / 'half.pth').write_bytes(whole[:size])
    line = one_line_error(capsys, 'train', config, '--resume', tmp_path / 'half.pth')
    assert f'--resume: {tmp_path}/half.pth is ' in line


def test_resume_without_a_usable_note_names_a_whole_checkpoint(tiny_shapes, tmp_path, capsys):
    config = write_config(tmp_path / 'tiny.py', tiny_shapes)
    run(tmp_path, 1).train()
    (tmp_path / 'last_checkpoint').write_text('')
    (tmp_path / 'epoch_2.pth').write_bytes((tmp_path / 'epoch_1.pth').read_bytes()[:5000])
    line = one_line_error(capsys, 'train', config, '--work-dir', tmp_path, '--resume')
    assert f'{tmp_path}/epoch_1.pth is whole: --resume {tmp_path}/epoch_1.pth' in line
