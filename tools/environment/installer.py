"""Calls of the environment's pip."""

from __future__ import annotations

from environment.progress import Progress, SetupError
from environment.python_env import PythonEnv


def pip_install(env: PythonEnv, progress: Progress, what: list[str], **variables: str) -> None:
    """Install with the environment's pip; the output goes to the log.

    Modules are translated to byte code when they are first imported, not now: most never are.
    """
    command = pip(env, 'install', '--no-compile', *what)
    messages: list[str] = []
    status = progress.run(
        command,
        env=variables,
        on_line=lambda s: messages.append(s) if s.startswith('ERROR') else None,
    )
    if status != 0:
        reason = messages[0].strip() if messages else f'pip stopped with status {status}'
        raise SetupError(
            f'{reason}\nWhat to do: see {progress.log}; check that pip reaches a package index '
            '(PIP_INDEX_URL, PIP_EXTRA_INDEX_URL), then run this again: it goes on from here'
        )


def pip_uninstall(env: PythonEnv, progress: Progress, *names: str) -> None:
    """Remove those of the distributions that are there."""
    if progress.run(pip(env, 'uninstall', '--yes', *names)) != 0:
        raise SetupError(f'pip did not uninstall {", ".join(names)}, see {progress.log}')


def pip(env: PythonEnv, command: str, *arguments: str) -> list[str]:
    """Return the command line of a call of pip."""
    return [str(env.python), '-m', 'pip', command, '--disable-pip-version-check', *arguments]
