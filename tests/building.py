"""Building the package as pip does, for the tests of what is built."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD_INPUTS = (
    *('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE', 'CHANGELOG.md'),
    *('CONTRIBUTING.md', 'model-index.yml', 'requirements', 'mmdet_alrp', 'configs', 'tools'),
)


def run(command: list, folder: Path, **env: str) -> subprocess.CompletedProcess:
    answer = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={'PATH': '/usr/bin:/bin', **env},
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def call_backend(function: str, source: Path, out: Path) -> Path:
    """Build as pip does, without isolation and without any download."""
    out.mkdir()
    code = f'from setuptools import build_meta\nprint(build_meta.{function}({str(out)!r}))'
    name = run([sys.executable, '-W', 'ignore', '-c', code], source).stdout.splitlines()[-1]
    return out / name


def copy_sources(folder: Path) -> None:
    """Copy what a build needs, without anything built or cached."""
    folder.mkdir()
    leave = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info')
    for name in BUILD_INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
        else:
            shutil.copy2(ROOT / name, folder / name)


def write_stack(folder, packages):
    """Write packages, as NAME: (version, code), as if they were installed; code None: no module."""
    for name, (version, code) in packages.items():
        info = folder / f'{name}-{version}.dist-info'
        info.mkdir(parents=True)
        metadata = f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        (info / 'METADATA').write_text(metadata)
        if code is not None:
            (folder / name).mkdir()
            (folder / name / '__init__.py').write_text(code)
    return folder
