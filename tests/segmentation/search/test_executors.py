import contextlib
import os
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from mmdet_alrp.segmentation.search import executors, sample_process
from mmdet_alrp.segmentation.search.executors import LocalExecutor, RayExecutor, build_executor

sys.path.append(str(Path(__file__).parent))
from tiny_proxy import task_of, tiny_config

# Imported by the sample as its config says
TROUBLE = """
import os, signal, subprocess, time
from pathlib import Path
kind = {kind!r}
if kind == 'exit':
    os._exit(7)
if kind == 'signal':
    os.kill(os.getpid(), signal.SIGSEGV)
if kind == 'error':
    raise ValueError('first line' + chr(10) + 'last line')
if kind == 'hang':
    child = subprocess.Popen(['sleep', '600'])
    Path({folder!r}, 'child').write_text(str(child.pid))
    print('hanging', flush=True)
    time.sleep(600)
"""


@pytest.fixture
def trouble(proxy_shapes, tmp_path, monkeypatch):
    """Make a sample that fails in some way."""

    def make(kind, index=0):
        folder, name = tmp_path / kind, f'trouble_{kind}_{index}'
        folder.mkdir(exist_ok=True)
        (folder / f'{name}.py').write_text(TROUBLE.format(kind=kind, folder=str(folder)))
        monkeypatch.syspath_prepend(folder)
        cfg = tiny_config(proxy_shapes)
        cfg.custom_imports = {'imports': ['mmdet_alrp', name], 'allow_failed_imports': False}
        # The imports are for the sample: dumping would make them here.
        return task_of(cfg, folder, index=index)

    return make


def is_running(pid):
    with contextlib.suppress(OSError):
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    return False


def run_all(executor, tasks):
    with contextlib.closing(executor):
        return {result.index: result for result in executor.run(tasks)}


def test_samples_fail_alone(proxy_shapes, tmp_path, trouble):
    tasks = [trouble(kind, index) for index, kind in enumerate(['exit', 'signal', 'error'])]
    good = task_of(tiny_config(proxy_shapes), tmp_path / 'good', index=3)
    results = run_all(LocalExecutor(workers=2, threads=1), [*tasks, good])
    assert sorted(results) == [0, 1, 2, 3]
    assert 'exit status 7' in results[0].failure
    assert 'SIGSEGV' in results[1].failure
    assert results[2].failure == 'last line'
    assert all(results[index].reward is None for index in range(3))
    assert results[3].reward > 0 and results[3].failure == ''
    assert 'ValueError' in (tmp_path / 'error' / 'sample_2' / 'log.txt').read_text()


def test_sample_out_of_time_is_ended_with_its_children(tmp_path, trouble):
    (result,) = run_all(LocalExecutor(timeout=10, threads=1), [trouble('hang')]).values()
    assert result.failure == 'took more than 10 s' and result.reward is None
    assert 'hanging' in (tmp_path / 'hang' / 'sample_0' / 'log.txt').read_text()
    child = int((tmp_path / 'hang' / 'child').read_text())
    time.sleep(0.2)
    assert not is_running(child)


def test_leaving_early_ends_the_others(tmp_path, trouble):
    tasks = [trouble('hang', 0), trouble('error', 1)]
    running = LocalExecutor(workers=2, threads=1).run(tasks)
    assert next(running).index == 1
    file = tmp_path / 'hang' / 'child'
    while not file.is_file() or not file.read_text():
        time.sleep(0.05)
    running.close()
    time.sleep(0.2)
    assert not is_running(int(file.read_text()))


def test_devices_are_dealt_to_the_workers(trouble, monkeypatch):
    dealt = []

    class Recorded:
        has_ended = True

        def __init__(self, task, timeout, threads, device):
            dealt.append(device)
            self.task = task

        def finish(self):
            return self.task

    monkeypatch.setattr(executors, 'SampleProcess', Recorded)
    monkeypatch.setattr(executors, 'wait_for', lambda samples: None)
    assert len(list(LocalExecutor(workers=3, threads=1, devices=[4, 6]).run(range(3)))) == 3
    assert dealt == [4, 6, 4]


def test_a_sample_sees_its_device_alone(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,1')
    with sample_process._environment(sample_process.start_variables(1)):
        assert os.environ['CUDA_VISIBLE_DEVICES'] == '1'
    assert os.environ['CUDA_VISIBLE_DEVICES'] == '0,1'


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'type': 'slurm'}, 'type must be one of local, ray'),
        ({'wrokers': 2}, "unexpected keyword argument 'wrokers'"),
        ({'workers': 0}, 'workers must be a whole number'),
        ({'timeout': -1}, 'timeout must be seconds'),
        ({'devices': [-1]}, 'devices must be indices'),
        ({'type': 'ray', 'timeout': -1}, 'timeout must be seconds'),
        ({'type': 'ray', 'timeout': '60'}, 'timeout must be seconds'),
        ({'type': 'ray', 'num_gpus': float('nan')}, 'num_gpus must be a number'),
        ({'type': 'ray', 'num_gpus': True}, 'num_gpus must be a number'),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build_executor(settings)


def test_without_ray_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ImportError, match=r'pip install .mmdet-alrp\[search\]'):
        build_executor({'type': 'ray'})


def test_ray_gives_the_rewards_of_local_processes(proxy_shapes, tmp_path, trouble, monkeypatch):
    if find_spec('ray') is None and os.environ.get('CI') != 'true':
        pytest.skip('ray is not installed')
    import ray

    # One core, and so one process at a time: each would import everything that a sample needs.
    monkeypatch.setattr(ray, 'init', partial(ray.init, num_cpus=1))
    good = task_of(tiny_config(proxy_shapes), tmp_path / 'good')
    local = run_all(LocalExecutor(threads=1), [good])
    failing = trouble('exit', 1)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'exit'))  # for Ray's processes
    found = run_all(RayExecutor(timeout=500), [good, failing])
    assert found[0].metrics == local[0].metrics
    assert 'exit status 7' in found[1].failure and found[1].reward is None
