"""The versions that pip may install: our pins, and what a user's environment has."""

from __future__ import annotations

import re
from pathlib import Path

from environment import stamp
from environment.progress import SetupError
from environment.python_env import PythonEnv

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / 'requirements' / 'constraints.txt'
COMPILED = ROOT / 'requirements' / 'compiled.txt'
# Two distributions that write one folder, so they must be of one version.
OPENCV = ('opencv-python', 'opencv-python-headless')
NO_PACKAGE = ('python', 'operators')  # what the state notes besides distributions


def pinned_version(name: str) -> str:
    """Return the version that the constraints pin."""
    match = re.search(rf'^{name}==([^\s;]+)', CONSTRAINTS.read_text(encoding='utf-8'), re.M)
    if match is None:
        raise SetupError(f'{CONSTRAINTS} has no pin for {name}')
    return match[1]


def normalize(name: str) -> str:
    """Return a distribution's name as registries compare it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def read_pins(file: Path) -> list[str]:
    """Return the pins of a file, without comments."""
    return [pin for pin in file.read_text(encoding='utf-8').splitlines() if '==' in pin]


def leave_out(pins: list[str], names: set[str]) -> list[str]:
    """Return the pins of all other distributions."""
    return [pin for pin in pins if normalize(pin.partition('==')[0]) not in names]


def choose_pins(env: PythonEnv) -> list[str]:
    """Return our pins, but what a user's environment has stays as it is.

    A user's torch may be the one build that fits the GPU; that and everything around it is theirs.
    """
    pins = read_pins(CONSTRAINTS)
    if env.compiled:
        own = read_pins(COMPILED)
        pins = leave_out(pins, {normalize(pin.partition('==')[0]) for pin in own}) + own
    if env.is_ours:
        return pins
    return leave_out(pins, {normalize(name) for name in stamp.read_state(env)})


def choose_constraints(env: PythonEnv) -> Path:
    """Return a file of the pins that hold in the environment."""
    return write(env, 'constraints.txt', choose_pins(env))


def freeze_constraints(env: PythonEnv) -> Path:
    """Return constraints that also hold a user's environment at the versions it has.

    Unlike the parts that the project needs, an extra may change nothing: PySODMetrics would put an
    older numpy in place of the user's, and a second OpenCV over the one that is there.
    """
    state = stamp.read_state(env)
    fixed = {normalize(name): version for name, version in state.items() if name not in NO_PACKAGE}
    for one, other in (OPENCV, OPENCV[::-1]):
        if one in fixed:
            fixed.setdefault(other, fixed[one])
    kept = leave_out(choose_pins(env), set(fixed))
    return write(env, 'extras.txt', [*kept, *(f'{name}=={at}' for name, at in fixed.items())])


def write(env: PythonEnv, name: str, lines: list[str]) -> Path:
    """Write a file beside the logs."""
    file = env.logs / name
    file.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return file
