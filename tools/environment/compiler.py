"""The C++ side of the mmcv build: is there a compiler, and a precompiled header for it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from environment.progress import Progress, SetupError
from environment.python_env import PythonEnv

# With setuptools 80 CFLAGS replaces Python's own flags, so the first two repeat what matters there.
# Without debug information the build takes half the time and the library is 25 times smaller.
CFLAGS = '-DNDEBUG -fwrapv -O2 -g0 -w'

ASK_FLAGS = """
import json, sysconfig
from setuptools import Distribution
from distutils.ccompiler import new_compiler
from distutils.sysconfig import customize_compiler
from torch.utils import cpp_extension
compiler = new_compiler()
customize_compiler(compiler)
includes = [*cpp_extension.include_paths(), sysconfig.get_paths()['include']]
print(json.dumps([compiler.compiler_so[1:], includes]))
"""


def find_compiler() -> str:
    """Return the C++ compiler that torch's build will call."""
    compiler = os.environ.get('CXX', 'c++')
    if shutil.which(shlex.split(compiler)[0]) is None:
        raise SetupError(
            f'no C++ compiler ({compiler}) found, and the operators of mmcv must be compiled; '
            'install one (Debian and Ubuntu: apt install g++)'
        )
    return compiler


def check_headers(env: PythonEnv) -> None:
    """Raise if the headers of Python are not installed."""
    folder = env.ask("import sysconfig; print(sysconfig.get_paths()['include'])")
    if not Path(folder, 'Python.h').is_file():
        raise SetupError(
            f'the headers of Python are missing ({folder}/Python.h), and the operators of mmcv '
            'must be compiled; install them (Debian and Ubuntu: apt install python3-dev, the one '
            'of your version, such as python3.11-dev)'
        )


def build_flags(env: PythonEnv) -> list[str]:
    """Return the flags with which torch's build compiles a file of mmcv's operators."""
    flags, includes = json.loads(env.ask(ASK_FLAGS, CFLAGS=CFLAGS))
    return [
        *flags,
        *(f'-I{folder}' for folder in includes),
        '-std=c++17',
        '-DTORCH_API_INCLUDE_EXTENSION_H',
        '-DTORCH_EXTENSION_NAME=_ext',
    ]


def precompile(env: PythonEnv, progress: Progress, folder: Path) -> str:
    """Precompile torch's main header; return the CFLAGS that use it, '' if it cannot be used.

    The compiler ignores a precompiled header without a word when a flag differs, so a trial file
    with the build's flags must show that it is taken.
    """
    if any(character.isspace() for character in str(folder)):
        return ''  # CFLAGS is split at blanks
    header, trial = folder / 'torch_types.h', folder / 'trial.cpp'
    header.write_text('#include <torch/types.h>\n', encoding='utf-8')
    trial.write_text('int main() {}\n', encoding='utf-8')
    compiled = Path(f'{header}.gch')
    command = [*shlex.split(find_compiler()), *build_flags(env)]
    if progress.run([*command, '-x', 'c++-header', str(header), '-o', str(compiled)]) != 0:
        return ''
    proof = subprocess.run(
        [*command, '-include', str(header), '-H', '-c', str(trial), '-o', os.devnull],
        capture_output=True,
        text=True,
        errors='replace',
    )
    if f'! {compiled}' not in proof.stderr.splitlines():
        return ''
    return f'{CFLAGS} -include {header}'


def header_folder() -> tempfile.TemporaryDirectory:
    """Return a folder for the header (about 430 MB) that is removed after use."""
    return tempfile.TemporaryDirectory(prefix='mmdet_alrp-header-')
