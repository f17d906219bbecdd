"""Set up everything the project needs, then run a script or module with it.

    python3 tools/setup_env.py [--venv DIR] [--python PYTHON] [--operators compiled]
        [-- tools/demo.py ...]

The pinned stack of requirements/constraints.txt goes into a virtual environment: torch and
torchvision first, then mmengine, mmdet and the test tools, the project itself, mmcv with operators
on torchvision or compiled ones, and the extras (MMSegmentation among them). Once set up, the next
call only looks whether all is as it was left. In an environment that the user made, what is
installed is kept and only what is missing is added; extras that do not fit it are left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from environment import stamp
from environment.installer import pip_install, pip_uninstall
from environment.operators import add_mmcv, are_compiled
from environment.pins import ROOT, choose_constraints, freeze_constraints, normalize
from environment.progress import Progress, SetupError
from environment.python_env import PythonEnv

STACK = ROOT / 'requirements' / 'stack.txt'
TESTS = ROOT / 'requirements' / 'tests.txt'
EXTRA_NAMES = ('seg', 'fast', 'calibration', 'search', 'docs')
EXTRAS = tuple(ROOT / 'requirements' / f'{name}.txt' for name in EXTRA_NAMES)
FIRST = ('torch', 'numpy', 'setuptools')
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
    parser.add_argument(
        '--operators',
        default='',
        choices=('', 'torchvision', 'compiled'),
        help='those of torchvision (default), or compiled with mmcv',
    )
    parser.add_argument('command', nargs='*', help="arguments for the environment's python")
    return parser.parse_args()


def install(env: PythonEnv, progress: Progress) -> None:
    """Install all that is missing, in the order in which one thing needs another."""
    if env.compiled and env.is_ours:
        pip_uninstall(env, progress, 'torchvision')  # belongs to another torch, and is not needed
    limits = ['-c', str(choose_constraints(env))]
    progress.step('Installing torch')
    # A user's torchvision is added later, where it turns out to be needed.
    with_torch = ('torchvision',) if env.is_ours and not env.compiled else ()
    pip_install(env, progress, [*limits, *FIRST, *with_torch])
    progress.step('Installing mmengine, mmdet and the test tools')
    pip_install(env, progress, [*limits, '-r', str(STACK), '-r', str(TESTS)])
    progress.step('Installing the project itself')
    project = ['--no-deps', '--no-build-isolation', '-e', str(ROOT)]
    pip_install(env, progress, project)
    add_mmcv(env, progress)
    add_extras(env, progress)


def add_extras(env: PythonEnv, progress: Progress) -> None:
    """Install MMSegmentation and the other extras; leave out what does not fit a user's."""
    if env.is_ours:
        progress.step('Installing the extras')
        files = [part for file in EXTRAS for part in ('-r', str(file))]
        pip_install(env, progress, ['-c', str(choose_constraints(env)), *files])
        return
    for file in EXTRAS:
        progress.step(f'Installing the extra [{file.stem}]')
        try:
            constraints = ['-c', str(freeze_constraints(env))]
            pip_install(env, progress, [*constraints, '-r', str(file)])
        except SetupError as error:
            reason = str(error).splitlines()[0]
            print(f'         left out, all else works without it: {reason}', flush=True)


def refuse_forks(env: PythonEnv) -> None:
    """Raise if the environment has the maintained forks, which have the modules of the pins."""
    installed = sorted(normalize(name) for name in stamp.read_state(env))
    forks = [name for name in installed if name.startswith('onedl-mm')]
    if forks:
        raise SetupError(
            f'{env.folder} has {", ".join(forks)}, and set-up would put the packages of OpenMMLab '
            f'over them. Install the project alone: {env.python} -m pip install -e {ROOT}, then '
            f'{env.python} -m mmdet_alrp operators'
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


def set_up(env: PythonEnv, wanted_python: str, operators: str = '') -> None:
    """Bring the environment to the state that the project needs."""
    if stamp.is_valid(env, ROOT) and (operators != 'compiled' or are_compiled(env)):
        return
    print(f'Setting up {env.folder}', flush=True)
    env.ensure(wanted_python)
    refuse_forks(env)
    stamp.remove(env)
    env.compiled = operators == 'compiled' or are_compiled(env)
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
        set_up(env, args.python, args.operators)
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
