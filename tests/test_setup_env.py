import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import setup_env
from environment import operators, pins, stamp
from environment.progress import Progress, SetupError
from environment.python_env import MARKER, PythonEnv, find_python

ROOT = Path(__file__).resolve().parent.parent


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\n' + text + '\n', 'utf-8')
    path.chmod(0o755)
    return path


@pytest.fixture
def this_env(tmp_path):
    """An environment whose python is the one that runs the tests."""
    env = PythonEnv(tmp_path / 'an env')
    write_script(env.python, f'exec "{sys.executable}" "$@"')
    env.logs.mkdir()
    return env


def call(*args: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'setup_env.py'), *args],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )


def test_wanted_python_must_fit(tmp_path):
    old = write_script(tmp_path / 'python3.8', 'echo \'[[3, 8], "/x/python3.8"]\'')
    with pytest.raises(SetupError, match=r'is Python 3\.8; Python 3\.10 to 3\.13 is needed'):
        find_python(str(old))
    with pytest.raises(SetupError, match='does not run'):
        find_python(str(tmp_path / 'none'))


def test_running_python_is_chosen():
    assert Path(find_python()).samefile(sys.executable)


def test_another_python_is_chosen_where_the_running_one_is_too_new(tmp_path, monkeypatch):
    new = write_script(tmp_path / 'new', 'echo \'[[3, 14], "/x/new"]\'')
    write_script(tmp_path / 'bin' / 'python3.12', 'echo \'[[3, 12], "/x/python3.12"]\'')
    monkeypatch.setattr(sys, 'executable', str(new))
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'))
    assert find_python() == '/x/python3.12'
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(SetupError, match=r'no Python 3\.10 to 3\.13 found'):
        find_python()


def test_foreign_folder_is_never_cleared(tmp_path):
    folder = tmp_path / 'mine'
    folder.mkdir()
    (folder / 'thesis.txt').write_text('x', 'utf-8')
    answer = call('--venv', str(folder))
    assert answer.returncode == 2 and 'Traceback' not in answer.stderr
    assert answer.stderr.startswith('Set-up failed:') and 'VENV=' in answer.stderr
    assert (folder / 'thesis.txt').exists()


def test_half_made_environment_of_ours_is_made_again(tmp_path, monkeypatch):
    env = PythonEnv(tmp_path / 'env')
    env.folder.mkdir()
    (env.folder / MARKER).touch()
    (env.folder / 'rest').touch()
    created = []
    monkeypatch.setattr(PythonEnv, 'create', lambda self, python: created.append(python))
    env.ensure(sys.executable)
    assert len(created) == 1 and not (env.folder / 'rest').exists()


def test_user_environment_keeps_what_it_has(this_env, monkeypatch):
    lines = pins.choose_constraints(this_env).read_text('utf-8').splitlines()
    assert not [line for line in lines if line.startswith(('torch==', 'numpy==', 'mmdet=='))]
    (this_env.folder / MARKER).touch()
    assert pins.choose_pins(this_env) == pins.read_pins(pins.CONSTRAINTS)
    monkeypatch.setattr(stamp, 'read_state', lambda env: {'torch': '2.13.0', 'onedl-mmcv': '2'})
    with pytest.raises(SetupError, match=r'has onedl-mmcv, and .* pip install -e .* operators'):
        setup_env.set_up(this_env, '')


def test_extras_change_nothing_in_a_user_environment(this_env, monkeypatch):
    state = {'numpy': '2.4.6', 'opencv_python': '5.0.0.93', 'python': '3.11.7', 'operators': []}
    monkeypatch.setattr(stamp, 'read_state', lambda env: state)
    lines = pins.freeze_constraints(this_env).read_text('utf-8').splitlines()
    assert {'numpy==2.4.6', 'opencv-python==5.0.0.93'} <= set(lines)
    # Beside the user's OpenCV only its twin of the same version may come.
    assert [line for line in lines if 'opencv-python-headless' in line] == [
        'opencv-python-headless==5.0.0.93'
    ]
    assert 'pysodmetrics==1.6.2' in lines
    assert not [line for line in lines if line.startswith(('python=', 'operators', 'numpy==2.3'))]


def test_unfit_extras_are_left_out_of_a_user_environment_only(this_env, monkeypatch, capsys):
    def refuse(env, progress, what):
        raise SetupError('ERROR: Cannot install pysodmetrics\nWhat to do: see the log')

    monkeypatch.setattr(setup_env, 'pip_install', refuse)
    progress = Progress(this_env.logs / 'log')
    setup_env.add_extras(this_env, progress)
    out = capsys.readouterr().out
    assert out.count('left out, all else works without it: ERROR: Cannot install pyso') == len(
        setup_env.EXTRAS
    )
    assert 'What to do' not in out
    (this_env.folder / MARKER).touch()
    with pytest.raises(SetupError, match='pysodmetrics'):
        setup_env.add_extras(this_env, progress)


def test_pinned_opencv_twins_are_of_one_version():
    names = ('opencv-python', 'opencv-python-headless')
    assert len({pins.pinned_version(name) for name in names}) == 1


def test_every_requirement_has_a_pin():
    pinned = {
        pins.normalize(line.partition('==')[0])
        for line in pins.CONSTRAINTS.read_text('utf-8').splitlines()
        if '==' in line
    }
    wanted = {*setup_env.FIRST, 'torchvision', 'mmcv', 'mmcv-lite', 'ninja', 'psutil', 'wheel'}
    for name in ('stack', 'tests', *setup_env.EXTRA_NAMES):
        lines = (ROOT / 'requirements' / f'{name}.txt').read_text('utf-8').splitlines()
        wanted |= {line.partition(';')[0].strip() for line in lines if line}
    assert wanted <= pinned
    assert pins.pinned_version('mmcv') == '2.1.0'


def test_stamp_notices_every_change(this_env, tmp_path, monkeypatch):
    root = tmp_path / 'project'
    for name in stamp.INPUTS:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == 'requirements':
            path.mkdir()
            (path / 'constraints.txt').write_text('torch==2.13.0\n', 'utf-8')
        else:
            path.write_text('x', 'utf-8')
    (root / 'mmdet_alrp' / '.mim').mkdir()
    state = {'torch': '2.13.0', 'operators': 1}
    monkeypatch.setattr(stamp, 'read_state', lambda env: dict(state))
    assert not stamp.is_valid(this_env, root)
    stamp.write(this_env, root, hide_gpu=False)
    assert stamp.is_valid(this_env, root)
    state['torch'] = '2.12.0'
    assert not stamp.is_valid(this_env, root)
    state['torch'] = '2.13.0'
    (root / 'requirements' / 'constraints.txt').write_text('torch==2.14.0\n', 'utf-8')
    assert not stamp.is_valid(this_env, root)
    stamp.write(this_env, root, hide_gpu=False)
    stamp.remove(this_env)
    assert not stamp.is_valid(this_env, root)


def test_finished_environment_goes_straight_to_the_command(this_env):
    stamp.write(this_env, ROOT, hide_gpu=True)
    if not (ROOT / 'mmdet_alrp' / '.mim').is_dir():
        pytest.skip('the project is not installed here')
    code = 'import os; print(repr(os.environ["CUDA_VISIBLE_DEVICES"]))'
    answer = call('--venv', str(this_env.folder), '--', '-c', code)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        'mmcv has no CUDA operators here: running on the CPU',
        "''",
    ]


def test_state_sees_installed_packages_and_operators(this_env):
    state = stamp.read_state(this_env)
    assert state['torch'] and state['python'] == sys.version
    assert [name for name in state['operators'] if name.startswith('_ext')]


def test_examine_reads_the_stack(this_env):
    found = operators.examine(this_env)
    assert list(found) == ['torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg']
    assert found['torch'] == (True, '')


@pytest.fixture
def calls(this_env, monkeypatch):
    """What set-up would call, in order, with nothing installed."""
    made = []

    def record(env, progress, *what, **_):
        flat = [part for group in what for part in (group if isinstance(group, list) else [group])]
        made.append([part for part in flat if not part.endswith('.txt') and part != '-c'])

    def run(self, command, **_):
        made.append(command[3:])
        return 0

    monkeypatch.setattr(operators, 'pip_install', record)
    monkeypatch.setattr(operators, 'pip_uninstall', record)
    monkeypatch.setattr(setup_env, 'pip_install', record)
    monkeypatch.setattr(setup_env, 'pip_uninstall', record)
    monkeypatch.setattr(Progress, 'run', run)
    return made


def find(monkeypatch, problem='', there=True, files=()):
    """Have set-up find an mmcv, and nothing wrong with all else."""
    found = {name: (True, '') for name in ('torch', 'mmengine', 'mmdet', 'mmseg')}
    monkeypatch.setattr(operators, 'examine', lambda env: found | {'mmcv': (there, problem)})
    state = {'torch': '2.0.1', 'operators': list(files)}
    monkeypatch.setattr(stamp, 'read_state', lambda env: state)


GIVE = ['-m', 'mmdet_alrp', 'operators']


def test_mmcv_comes_without_a_compiler(this_env, tmp_path, monkeypatch, calls):
    (this_env.folder / MARKER).touch()
    find(monkeypatch, there=False)
    operators.add_mmcv(this_env, Progress(tmp_path / 'log'))
    assert calls == [['mmcv-lite'], GIVE]


def test_user_environment_gets_only_what_its_mmcv_lacks(this_env, tmp_path, monkeypatch, calls):
    find(monkeypatch, problem='was installed without operators')
    operators.add_mmcv(this_env, Progress(tmp_path / 'log'))
    assert calls == [['torchvision'], GIVE]
    assert 'torch==2.0.1' in (this_env.logs / 'extras.txt').read_text('utf-8').splitlines()


def test_compiled_mmcv_is_kept(this_env, tmp_path, monkeypatch, calls):
    find(monkeypatch, files=['_ext.cpython-311.so'])
    operators.add_mmcv(this_env, Progress(tmp_path / 'log'))
    assert calls == []
    assert operators.are_compiled(this_env)


@pytest.fixture
def compiling(this_env, monkeypatch, calls):
    """An environment of ours that is to have compiled operators, and what it answers."""
    answer = [[3, 12], True, False]
    (this_env.folder / MARKER).touch()
    find(monkeypatch, files=['_ext.py'])
    monkeypatch.setattr(PythonEnv, 'ask', lambda self, script: json.dumps(answer))
    monkeypatch.setattr(operators.shutil, 'which', lambda name: f'/usr/bin/{name}')
    this_env.compiled = True
    return answer


def test_compiled_operators_take_the_place_of_others(
    this_env, tmp_path, monkeypatch, calls, compiling
):
    install, built = operators.pip_install, {}

    def build(env, progress, what, **variables):
        install(env, progress, what)
        if variables:
            built.update(variables)
            find(monkeypatch, files=['_ext.so'])

    monkeypatch.setattr(operators, 'pip_install', build)
    operators.add_mmcv(this_env, Progress(tmp_path / 'log'))
    assert calls[:2] == [['wheel', 'ninja', 'psutil'], ['mmcv-lite']]
    assert {'--no-cache-dir', '--force-reinstall', '--no-deps', 'mmcv==2.1.0'} <= set(calls[2])
    assert calls[3:] == [['mmcv==2.1.0']] and built['MMCV_WITH_OPS'] == '1'
    chosen = (this_env.logs / 'constraints.txt').read_text('utf-8').splitlines()
    assert 'torch==2.13.0' in chosen and 'torch==2.14.1' not in chosen


def test_a_build_without_operators_is_refused(this_env, tmp_path, compiling):
    with pytest.raises(SetupError, match='built without operators'):
        operators.add_mmcv(this_env, Progress(tmp_path / 'log'))


@pytest.mark.parametrize('missing', ['python', 'headers', 'compiler'])
def test_what_a_build_needs_is_one_clear_line(this_env, tmp_path, monkeypatch, compiling, missing):
    if missing == 'python':
        compiling[0] = [3, 13]
    elif missing == 'headers':
        compiling[1] = False
    else:
        monkeypatch.setattr(operators.shutil, 'which', lambda name: None)
    said = (
        r'Python 3\.13' if missing == 'python' else r"C\+\+ compiler \(c\+\+\) and Python's headers"
    )
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(SetupError, match=said):
        operators.add_mmcv(this_env, Progress(tmp_path / 'log'))


def test_finished_environment_is_set_up_again_for_compiled_operators(this_env, monkeypatch):
    made = []
    monkeypatch.setattr(stamp, 'is_valid', lambda env, root: True)
    monkeypatch.setattr(PythonEnv, 'ensure', lambda self, python: None)
    monkeypatch.setattr(setup_env, 'install', lambda env, progress: made.append(env.compiled))
    monkeypatch.setattr(setup_env, 'prove', lambda env, progress: False)
    monkeypatch.setattr(stamp, 'write', lambda env, root, hide_gpu: None)
    for files, wanted in ((['_ext.py'], ''), (['_ext.so'], 'compiled'), (['_ext.py'], 'compiled')):
        monkeypatch.setattr(stamp, 'read_state', lambda env, files=files: {'operators': files})
        setup_env.set_up(this_env, '', wanted)
    assert made == [True]


def test_pair_of_torch_is_pinned():
    """torchvision 0.15 belongs to torch 2.0, and so on."""
    torch, torchvision = pins.pinned_version('torch'), pins.pinned_version('torchvision')
    assert int(torchvision.split('.')[1]) == int(torch.split('.')[1]) + 15
    assert pins.pinned_version('mmcv') == pins.pinned_version('mmcv-lite')
