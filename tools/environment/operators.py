"""mmcv and its operators: those of torchvision by default, compiled ones for who wants them."""

from __future__ import annotations

import json
from pathlib import Path

from environment import stamp
from environment.installer import pip_install, pip_uninstall
from environment.mmcv_wheel import get_wheel
from environment.pins import ROOT, choose_constraints, freeze_constraints, pinned_version
from environment.progress import Progress, SetupError
from environment.python_env import PythonEnv

PROBE = """
import json, runpy
survey = runpy.run_path({path!r})['survey']
print(json.dumps([[f.module, f.installed, f.line() if f.problem else ''] for f in survey()]))
"""
TOO_NEW = (3, 13)


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
    """Install mmcv with compiled operators in place of what is there."""
    version = json.loads(env.ask('import json, sys; print(json.dumps(sys.version_info[:2]))'))
    if tuple(version) >= TOO_NEW:
        raise SetupError(
            'the sources of mmcv 2.1 cannot be built with Python 3.13 or newer; take Python 3.10 '
            'to 3.12, or the operators of torchvision (without OPERATORS=compiled)'
        )
    constraints = ['-c', str(choose_constraints(env))]
    pip_install(env, progress, [*constraints, 'wheel', 'ninja', 'psutil'])
    wheel = get_wheel(env, Path(constraints[1]), pinned_version('mmcv'), progress)
    progress.step('Installing mmcv')
    pip_uninstall(env, progress, 'mmcv-lite')  # has the same files
    pip_install(env, progress, [*constraints, '--force-reinstall', '--no-deps', str(wheel)])
    # Its few dependencies come in a call of their own: --no-deps keeps torch and numpy in place.
    pip_install(env, progress, [*constraints, str(wheel)])
