"""The stamp of a finished set-up, by which the next one is over in a moment."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from environment.progress import SetupError
from environment.python_env import PythonEnv

NAME = 'mmdet_alrp-setup.json'
INPUTS = (
    *('setup.py', 'pyproject.toml', 'requirements', 'mmdet_alrp/compatibility.py'),
    'mmdet_alrp/operators/mmcv_ext.py',  # is copied into mmcv
)
# Names and versions of all that is installed, and the files of mmcv's operators. Nothing is
# imported: reading the metadata takes a tenth of a second, importing torch ten times that.
ASK_STATE = """
import glob, importlib.util, json, os, sys
from importlib import metadata
found = {d.metadata['Name'].lower(): d.version for d in metadata.distributions()}
spec = importlib.util.find_spec('mmcv')
folder = os.path.dirname(spec.origin) if spec and spec.origin else ''
found['python'] = sys.version
files = glob.glob(os.path.join(glob.escape(folder), '_ext*')) if folder else []
found['operators'] = sorted(map(os.path.basename, files))
print(json.dumps(found))
"""


def hash_inputs(root: Path) -> str:
    """Return a hash of the place of the project and of all files that decide on a set-up."""
    digest = hashlib.sha256(str(root).encode())
    for name in INPUTS:
        path = root / name
        for file in sorted(path.rglob('*.txt')) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def read_state(env: PythonEnv) -> dict:
    """Return what is installed in the environment."""
    return json.loads(env.ask(ASK_STATE))


def read(env: PythonEnv) -> dict:
    """Return the stamp; empty where there is none that can be read."""
    try:
        return json.loads((env.folder / NAME).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}


def is_valid(env: PythonEnv, root: Path) -> bool:
    """Say whether the environment is as the last finished set-up left it."""
    stamp = read(env)
    if stamp.get('inputs') != hash_inputs(root) or not (root / 'mmdet_alrp' / '.mim').is_dir():
        return False
    try:
        return stamp.get('state') == read_state(env)
    except (OSError, ValueError, SetupError):
        return False


def write(env: PythonEnv, root: Path, hide_gpu: bool) -> None:
    """Note that the environment is complete, and whether its GPU must be hidden from torch."""
    stamp = {'inputs': hash_inputs(root), 'state': read_state(env), 'hide_gpu': hide_gpu}
    part = env.folder / (NAME + '.part')
    part.write_text(json.dumps(stamp, indent=1), encoding='utf-8')
    os.replace(part, env.folder / NAME)


def remove(env: PythonEnv) -> None:
    """Take the stamp away, before anything is changed."""
    (env.folder / NAME).unlink(missing_ok=True)
