"""Set up everything the project needs, then run a script or module with it.

    python3 tools/setup_env.py [--venv DIR] [--python PYTHON] [-- tools/demo.py ...]

The pinned stack of requirements/constraints.txt goes into a virtual environment: torch first, then
mmengine, mmdet and the test tools, then mmcv with its operators compiled against that torch, the
project itself and its extras (MMSegmentation among them). Once set up, the next call only looks
whether all is as it was left. In an environment that the user made, what is installed is kept and
only what is missing is added; extras that do not fit it are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

from environment import stamp
from environment.mmcv_wheel import get_wheel
from environment.progress import Progress, SetupError
from environment.python_env import PythonEnv

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / 'requirements' / 'constraints.txt'
STACK = ROOT / 'requirements' / 'stack.txt'
TESTS = ROOT / 'requirements' / 'tests.txt'
EXTRA_NAMES = ('seg', 'fast', 'calibration', 'search', 'docs')
EXTRAS = tuple(ROOT / 'requirements' / f'{name}.txt' for name in EXTRA_NAMES)
# Two distributions that write one folder, so they must be of one version.
OPENCV = ('opencv-python', 'opencv-python-headless')
NO_PACKAGE = ('python', 'operators')  # what the state notes besides distributions
# Needed before mmcv can be built against torch.
BUILD = ('torch', 'numpy', 'setuptools', 'wheel', 'ninja', 'psutil')
PROBE = """
import json, runpy
survey = runpy.run_path({path!r})['survey']
print(json.dumps([[f.module, f.installed, f.line() if f.problem else ''] for f in survey()]))
"""
ASK_GPU = """
import torch
from mmcv.ops import get_compiling_cuda_version
print(int(torch.cuda.is_available() and get_compiling_cuda_version() == 'not available'))
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Set up the environment, then run a command in it')
    parser.add_argument('--venv', default='', help='environment to use or make (.venv)')
    parser.add_argument('--python', default='', help='interpreter for a new environment')
    parser.add_argument('command', nargs='*', help="arguments for the environment's python")
    return parser.parse_args()


def pinned_version(name: str) -> str:
    """Return the version that the constraints pin."""
    match = re.search(rf'^{name}==([^\s;]+)', CONSTRAINTS.read_text(encoding='utf-8'), re.M)
    if match is None:
        raise SetupError(f'{CONSTRAINTS} has no pin for {name}')
    return match[1]


def normalize(name: str) -> str:
    """Return a distribution's name as registries compare it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def choose_constraints(env: PythonEnv) -> Path:
    """Return the constraints for pip: our pins, but what a user's environment has stays as it is.

    A user's torch may be the one build that fits the GPU; that and everything around it is theirs.
    """
    if env.is_ours:
        return CONSTRAINTS
    installed = {normalize(name) for name in stamp.read_state(env)}
    pins = CONSTRAINTS.read_text(encoding='utf-8').splitlines()
    kept = [pin for pin in pins if normalize(pin.partition('==')[0]) not in installed]
    file = env.logs / 'constraints.txt'
    file.write_text('\n'.join(kept) + '\n', encoding='utf-8')
    return file


def freeze_constraints(env: PythonEnv) -> Path:
    """Return constraints that also hold a user's environment at the versions it has.

    Unlike the parts that the project needs, an extra may change nothing: PySODMetrics would put an
    older numpy in place of the user's, and a second OpenCV over the one that is there.
    """
    pins = choose_constraints(env).read_text(encoding='utf-8').splitlines()
    state = stamp.read_state(env)
    fixed = {normalize(name): version for name, version in state.items() if name not in NO_PACKAGE}
    for one, other in (OPENCV, OPENCV[::-1]):
        if one in fixed:
            fixed.setdefault(other, fixed[one])
    kept = [pin for pin in pins if normalize(pin.partition('==')[0]) not in fixed]
    file = env.logs / 'extras.txt'
    lines = [*kept, *(f'{name}=={version}' for name, version in fixed.items())]
    file.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return file


def pip_install(env: PythonEnv, progress: Progress, what: list[str]) -> None:
    """Install with the environment's pip; the output goes to the log."""
    command = [str(env.python), '-m', 'pip', 'install', '--disable-pip-version-check', *what]
    messages: list[str] = []
    status = progress.run(
        command, on_line=lambda s: messages.append(s) if s.startswith('ERROR') else None
    )
    if status != 0:
        reason = messages[0].strip() if messages else f'pip stopped with status {status}'
        raise SetupError(
            f'{reason}\nWhat to do: see {progress.log}; check that pip reaches a package index '
            '(PIP_INDEX_URL, PIP_EXTRA_INDEX_URL), then run this again: it goes on from here'
        )


def examine(env: PythonEnv) -> dict[str, tuple[bool, str]]:
    """Return for every module of the stack whether it is installed and what is wrong with it."""
    path = str(ROOT / 'mmdet_alrp' / 'compatibility.py')
    return {
        name: (there, line) for name, there, line in json.loads(env.ask(PROBE.format(path=path)))
    }


def install(env: PythonEnv, progress: Progress) -> None:
    """Install all that is missing, in the order in which one thing needs another."""
    constraints = choose_constraints(env)
    limits = ['-c', str(constraints)]
    progress.step('Installing torch and the build tools')
    pip_install(env, progress, [*limits, *BUILD])
    progress.step('Installing mmengine, mmdet and the test tools')
    pip_install(env, progress, [*limits, '-r', str(STACK), '-r', str(TESTS)])
    add_mmcv(env, constraints, progress)
    progress.step('Installing the project itself')
    project = ['--no-deps', '--no-build-isolation', '-e', str(ROOT)]
    pip_install(env, progress, project)
    add_extras(env, progress)


def add_extras(env: PythonEnv, progress: Progress) -> None:
    """Install MMSegmentation and the other extras; leave out what does not fit a user's."""
    for file in EXTRAS:
        progress.step(f'Installing the extra [{file.stem}]')
        wanted = ['-r', str(file)]
        if env.is_ours:
            pip_install(env, progress, ['-c', str(CONSTRAINTS), *wanted])
            continue
        try:
            pip_install(env, progress, ['-c', str(freeze_constraints(env)), *wanted])
        except SetupError as error:
            reason = str(error).splitlines()[0]
            print(f'         left out, all else works without it: {reason}', flush=True)


def add_mmcv(env: PythonEnv, constraints: Path, progress: Progress) -> None:
    """Install mmcv with operators, unless one that works is there."""
    found = examine(env)
    others = [line for name, (_, line) in found.items() if line and name != 'mmcv']
    if others:
        raise SetupError('\n'.join(others))
    is_there, problem = found['mmcv']
    if is_there and not problem:
        progress.step('mmcv with working operators is there: kept')
        return
    wheel = get_wheel(env, constraints, pinned_version('mmcv'), progress)
    progress.step('Installing mmcv')
    pip_install(
        env, progress, ['-c', str(constraints), '--force-reinstall', '--no-deps', str(wheel)]
    )
    # Its few dependencies come in a call of their own: --no-deps keeps torch and numpy in place.
    pip_install(env, progress, ['-c', str(constraints), str(wheel)])


def refuse_forks(env: PythonEnv) -> None:
    """Raise if the environment has the maintained forks, which have the modules of the pins."""
    installed = sorted(normalize(name) for name in stamp.read_state(env))
    forks = [name for name in installed if name.startswith('onedl-mm')]
    if forks:
        raise SetupError(
            f'{env.folder} has {", ".join(forks)}, and set-up would put the packages of OpenMMLab '
            f'over them. Install the project alone: {env.python} -m pip install -e {ROOT}'
        )


def prove(env: PythonEnv, progress: Progress) -> bool:
    """Run the project's report, with one call of NMS; return whether the GPU must be hidden."""
    progress.step('Trying the operators')
    hide_gpu = env.ask(ASK_GPU) == '1'
    lines: list[str] = []
    hidden = {'CUDA_VISIBLE_DEVICES': ''} if hide_gpu else {}
    command = [str(env.python), '-W', 'ignore', '-m', 'mmdet_alrp']
    if progress.run(command, env=hidden, on_line=lines.append) != 0:
        raise SetupError('the environment does not fit:\n' + ''.join(lines).rstrip())
    print(''.join(lines).rstrip(), flush=True)
    return hide_gpu


def set_up(env: PythonEnv, wanted_python: str) -> None:
    """Bring the environment to the state that the project needs."""
    if stamp.is_valid(env, ROOT):
        return
    print(f'Setting up {env.folder}', flush=True)
    env.ensure(wanted_python)
    refuse_forks(env)
    stamp.remove(env)
    progress = Progress(env.logs / 'setup.log')
    print(f'Log: {progress.log}', flush=True)
    install(env, progress)
    stamp.write(env, ROOT, hide_gpu=prove(env, progress))
    progress.step('Set-up is complete')


def run_command(env: PythonEnv, command: list[str]) -> None:
    """Go on as the environment's python with the given arguments."""
    if stamp.read(env).get('hide_gpu'):
        print('mmcv has no CUDA operators here: running on the CPU', flush=True)
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    sys.stdout.flush()
    os.execv(env.python, [str(env.python), *command])


def main() -> int:
    """Set up, then run; 2 where the user must do something first."""
    args = parse_args()
    # Not resolved: the python of an environment is a link, and only its own path tells which.
    folder = Path(os.path.abspath(Path(args.venv or ROOT / '.venv').expanduser()))
    env = PythonEnv(folder)
    try:
        set_up(env, args.python)
        if args.command:
            run_command(env, args.command)
    except SetupError as error:
        print(f'Set-up failed: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nSet-up was interrupted; run it again to go on from here.', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
