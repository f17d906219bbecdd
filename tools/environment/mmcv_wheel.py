"""The wheel of mmcv with compiled operators: built once for a Python and a torch, then kept."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from environment.compiler import CFLAGS, check_headers, find_compiler, header_folder, precompile
from environment.progress import Progress, SetupError
from environment.python_env import PythonEnv

BYTES_PER_JOB = 1.5e9
COMPILED_FILE = re.compile(r'^\s*\[(\d+)/(\d+)\] ')
ERROR_LINE = re.compile(
    r'(fatal error|internal compiler error|\berror): |Error:|No space left on device'
)
ADVICE = (
    ('No space left on device', 'make room on the disk (about 1 GB, most of it in TMPDIR)'),
    ('Killed', 'the memory ran out: try again with MAX_JOBS=1'),
    ('internal compiler error', 'the memory may have run out: try again with MAX_JOBS=1'),
    ('Python.h', 'install the headers of Python (Debian and Ubuntu: apt install python3-dev)'),
    ('command not found', 'install a C++ compiler (Debian and Ubuntu: apt install g++)'),
    ('C++20', 'take torch 2.13 or older, or the operators of torchvision (docs/operators.md)'),
    ('No matching distribution', 'check that pip reaches a package index'),
)
# What decides on the kind of the build: torch's version, the Python tag, and whether CUDA
# operators are wanted (a GPU that torch sees) and possible (a CUDA compiler).
ASK_TARGET = """
import sys, torch
from torch.utils.cpp_extension import CUDA_HOME
has_gpu = torch.cuda.is_available()
kind = '-cuda' if has_gpu and CUDA_HOME else '-nocuda' if has_gpu else ''
print(f'cp{sys.version_info[0]}{sys.version_info[1]}-torch{torch.__version__}{kind}')
"""


def cache_folder() -> Path:
    """Return the folder of kept wheels of this user."""
    chosen = os.environ.get('MMDET_ALRP_CACHE')
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get('XDG_CACHE_HOME') or Path('~', '.cache').expanduser()
    return Path(base).absolute() / 'mmdet_alrp'


def has_operators(wheel: Path) -> bool:
    """Say whether a wheel is whole and carries compiled operators."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return any(name.startswith('mmcv/_ext.') for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def get_wheel(env: PythonEnv, constraints: Path, version: str, progress: Progress) -> Path:
    """Return a wheel of mmcv for the environment: the kept one, or a new one that is then kept."""
    target = env.ask(ASK_TARGET)
    kept = cache_folder() / 'wheels' / target
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home folder that cannot be written
        kept = env.folder / 'wheels' / target
        kept.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(kept.glob(f'mmcv-{version}-*.whl')):
        if has_operators(wheel):
            progress.step(f'Taking the kept wheel {wheel}')
            return wheel
    find_compiler()
    check_headers(env)
    with tempfile.TemporaryDirectory(prefix='.building-', dir=kept) as folder:
        wheel = build(env, constraints, version, target, Path(folder), progress)
        return Path(shutil.move(str(wheel), str(kept / wheel.name)))


def build(
    env: PythonEnv,
    constraints: Path,
    version: str,
    target: str,
    folder: Path,
    progress: Progress,
) -> Path:
    """Build the wheel into ``folder``."""
    log = env.logs / 'mmcv-build.log'
    log.unlink(missing_ok=True)
    variables = {'MMCV_WITH_OPS': '1', 'MAX_JOBS': os.environ.get('MAX_JOBS') or str(count_jobs())}
    if target.endswith('-nocuda'):
        print(
            '         torch sees a GPU, but there is no CUDA compiler: operators for the CPU only'
        )
        variables['CUDA_VISIBLE_DEVICES'] = ''
    command = [
        *(str(env.python), '-m', 'pip', 'wheel', '-v', '--no-cache-dir', '--no-deps'),
        *('--no-build-isolation', '-c', str(constraints), '-w', str(folder), f'mmcv=={version}'),
    ]
    with header_folder() as header:
        if not target.endswith('-cuda'):
            progress.step('Precompiling the header of torch')
            flags = precompile(env, progress, Path(header))
            if not flags:
                print('         the compiler does not take it: the build takes three times as long')
            variables['CFLAGS'] = flags or CFLAGS
        progress.step(f'Compiling the operators of mmcv {version} (minutes; log: {log})')
        status = progress.run(
            command, env=variables, on_line=lambda line: show(line, progress), log=log
        )
    wheels = list(folder.glob('mmcv-*.whl'))
    if status != 0 or not wheels or not has_operators(wheels[0]):
        raise SetupError(explain_failure(log))
    return wheels[0]


def show(line: str, progress: Progress) -> None:
    """Count a compiled file."""
    match = COMPILED_FILE.match(line)
    if match:
        progress.count(int(match[1]), int(match[2]), 'files compiled')


def count_jobs() -> int:
    """Return how many files to compile at once: the cores, fewer where memory is short."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    try:
        memory = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (ValueError, OSError):
        return cores or 1
    return max(1, min(cores or 1, int(memory / BYTES_PER_JOB)))


def explain_failure(log: Path) -> str:
    """Return the first error in a build log, and what to do about it."""
    lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
    # The command lines of the compiler hold words like "error" in paths and flags.
    spoken = [line for line in lines if not COMPILED_FILE.match(line)]
    first = next((line.strip() for line in spoken if ERROR_LINE.search(line)), 'no error line')
    text = '\n'.join(spoken)
    advice = next((todo for sign, todo in ADVICE if sign in text), 'read the log from there on')
    return f'mmcv was not built. First error: {first}\nWhat to do: {advice}. Log: {log}'
