"""mmcv and its operators: those of torchvision by default, compiled ones for who wants them."""

from __future__ import annotations

import json
import os
import shlex
import shutil

from environment import stamp
from environment.installer import pip_install, pip_uninstall
from environment.pins import ROOT, choose_constraints, freeze_constraints, pinned_version
from environment.progress import Progress, SetupError
from environment.python_env import PythonEnv

PROBE = """
import json, runpy
survey = runpy.run_path({path!r})['survey']
print(json.dumps([[f.module, f.installed, f.line() if f.problem else ''] for f in survey()]))
"""
ASK_BUILD = """
import json, os, sys, sysconfig, torch
from torch.utils.cpp_extension import CUDA_HOME
headers = os.path.isfile(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))
print(json.dumps([sys.version_info[:2], headers, torch.cuda.is_available() and not CUDA_HOME]))
"""
TOO_NEW = [3, 13]
# With setuptools 80 CFLAGS replaces Python's own flags, so the first two repeat what matters there.
# Without debug information the build takes half the time and the library is 25 times smaller.
CFLAGS = '-DNDEBUG -fwrapv -O2 -g0 -w'


def examine(env: PythonEnv) -> dict[str, tuple[bool, str]]:
    """Return for every module of the stack whether it is installed and what is wrong with it."""
    path = str(ROOT / 'mmdet_alrp' / 'compatibility.py')
    return {
        name: (there, line) for name, there, line in json.loads(env.ask(PROBE.format(path=path)))
    }


def are_compiled(env: PythonEnv) -> bool:
    """Say whether mmcv has compiled operators."""
    return any(not name.endswith('.py') for name in stamp.read_state(env)['operators'])


def add_mmcv(env: PythonEnv, progress: Progress) -> None:
    """Install mmcv and its operators, unless some that work are there."""
    found = examine(env)
    others = [line for name, (_, line) in found.items() if line and name != 'mmcv']
    if others:
        raise SetupError('\n'.join(others))
    is_there, problem = found['mmcv']
    if is_there and not problem and are_compiled(env):
        progress.step('mmcv with compiled operators is there: kept')
        return
    if env.compiled:
        add_compiled(env, progress)
        return
    if not is_there:
        progress.step('Installing mmcv without compiled operators')
        pip_install(env, progress, ['-c', str(choose_constraints(env)), 'mmcv-lite'])
    if not env.is_ours:  # ours came with torch
        pip_install(env, progress, ['-c', str(freeze_constraints(env)), 'torchvision'])
    progress.step('Giving mmcv the operators of torchvision')
    lines: list[str] = []
    command = [str(env.python), '-W', 'ignore', '-m', 'mmdet_alrp', 'operators']
    if progress.run(command, on_line=lines.append) != 0:
        raise SetupError(''.join(lines).strip())


def add_compiled(env: PythonEnv, progress: Progress) -> None:
    """Have pip build mmcv with its operators, in place of the mmcv that is there."""
    version, has_headers, without_nvcc = json.loads(env.ask(ASK_BUILD))
    if version >= TOO_NEW:
        raise SetupError(
            'the sources of mmcv 2.1 cannot be built with Python 3.13 or newer; take Python 3.10 '
            'to 3.12, or the operators of torchvision (without OPERATORS=compiled)'
        )
    compiler = os.environ.get('CXX', 'c++')
    if not has_headers or shutil.which(shlex.split(compiler)[0]) is None:
        raise SetupError(
            f"OPERATORS=compiled needs a C++ compiler ({compiler}) and Python's headers: install "
            'them (Debian and Ubuntu: apt install g++ python3-dev), or leave OPERATORS out'
        )
    variables = {'MMCV_WITH_OPS': '1', 'CFLAGS': CFLAGS}
    variables['MAX_JOBS'] = os.environ.get('MAX_JOBS') or str(os.cpu_count() or 1)
    if without_nvcc:
        print('         torch sees a GPU, but there is no CUDA compiler: operators for the CPU')
        variables['CUDA_VISIBLE_DEVICES'] = ''
    limits = ['-c', str(choose_constraints(env))]
    pip_install(env, progress, [*limits, 'wheel', 'ninja', 'psutil'])
    progress.step('Compiling the operators of mmcv: many minutes; MAX_JOBS=1 if memory is short')
    pip_uninstall(env, progress, 'mmcv-lite')  # has the same files
    mmcv = f'mmcv=={pinned_version("mmcv")}'
    # Nothing from pip's cache, which does not know for which torch a wheel was built.
    build = ['--no-cache-dir', '--no-build-isolation', '--no-deps', '--force-reinstall']
    pip_install(env, progress, [*limits, *build, mmcv], **variables)
    if not are_compiled(env):
        raise SetupError(f'mmcv was built without operators, see {progress.log}')
    # Its few dependencies come in a call of their own: --no-deps keeps torch and numpy in place.
    pip_install(env, progress, [*limits, mmcv])
