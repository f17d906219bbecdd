"""Put the operators into an mmcv that has none, take them out again, and list what is missing."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from importlib import import_module, machinery, metadata, util
from pathlib import Path

SOURCE = Path(__file__).with_name('mmcv_ext.py')
NAME = '_ext.py'
RECORDED = f'mmcv/{NAME}'
# In `mmcv/ops`: load_ext('_ext', ['nms', 'softnms', ...])
ASKED = re.compile(r"load_ext\(\s*'_ext',\s*\[(.*?)\]", re.DOTALL)
PASS = re.compile(r'_(forward|backward)\w*$')
ABOUT = {'get_compiler_version', 'get_compiling_cuda_version'}


class InstallationError(Exception):
    """The operators cannot be put in or taken out; the message says why and what to do."""


def find_mmcv() -> Path:
    """Return the folder of mmcv.

    Raises:
        InstallationError: If there is none.
    """
    found = util.find_spec('mmcv')
    if found is None or not found.origin:
        raise InstallationError("mmcv is not installed. Run: pip install 'mmcv-lite>=2.0.0,<2.2'")
    return Path(found.origin).parent


def find_compiled(mmcv: Path) -> Path | None:
    """Return mmcv's compiled extension, None where it has none."""
    files = (mmcv / f'_ext{suffix}' for suffix in machinery.EXTENSION_SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def is_ours(file: Path) -> bool:
    """Say whether a file is one that `install` wrote, of this release or another."""
    first = SOURCE.read_text('utf-8').partition('\n')[0]
    return file.is_file() and file.read_text('utf-8', errors='replace').startswith(first)


def install() -> str:
    """Put the operators on torchvision into mmcv; return what was done.

    The file is noted in mmcv's list of files, so that pip takes it away with mmcv.

    Raises:
        InstallationError: If mmcv or a fitting torchvision is missing, if mmcv has another
            extension that stays, or cannot be written.
    """
    mmcv = find_mmcv()
    compiled, target = find_compiled(mmcv), mmcv / NAME
    if compiled:
        check_compiled(compiled)
        return f'mmcv has compiled operators ({compiled}): nothing was changed.'
    check_torchvision()
    if target.exists() and not is_ours(target):
        raise InstallationError(
            f'{target} was not written by mmdet_alrp and stays. Remove it to have operators on '
            'torchvision in its place'
        )
    write(target, SOURCE.read_bytes())
    note_file(mmcv, SOURCE.read_bytes())
    return f'mmcv has operators on torchvision now: {target}'


def check_compiled(file: Path) -> None:
    """Raise if compiled operators do not load, which happens after a change of torch."""
    try:
        import_module('torch')  # they are linked against its libraries
        import_module('mmcv._ext')
    except Exception as error:
        raise InstallationError(
            f'the compiled operators in {file} do not load ({error}) and stay. To have those on '
            "torchvision: pip uninstall mmcv, pip install 'mmcv-lite>=2.0.0,<2.2', and this again"
        ) from error


def check_torchvision() -> None:
    """Raise if there is no torchvision whose operators load with this torch."""
    try:
        import_module('mmdet_alrp.operators.library')
    except Exception as error:  # RuntimeError from torchvision where the two do not fit
        raise InstallationError(
            f'no torchvision that fits torch ({error}). Run: pip install {matching_torchvision()}'
        ) from error


def matching_torchvision() -> str:
    """Return what pip is to install for this torch: torchvision 0.15 belongs to torch 2.0."""
    try:
        major, minor = metadata.version('torch').split('.')[:2]
    except (metadata.PackageNotFoundError, ValueError):
        return 'torch torchvision'
    return f"'torchvision==0.{int(minor) + 15}.*'" if major == '2' else 'torchvision'


def remove() -> str:
    """Take the operators on torchvision out of mmcv; return what was done.

    Raises:
        InstallationError: If mmcv is missing or cannot be written.
    """
    mmcv = find_mmcv()
    target = mmcv / NAME
    if not is_ours(target):
        return f'{mmcv} has no operators of mmdet_alrp: nothing was changed.'
    try:
        target.unlink()
        Path(util.cache_from_source(str(target))).unlink(missing_ok=True)
    except OSError as error:
        raise InstallationError(f'cannot remove {target}: {error.strerror}') from error
    note_file(mmcv, None)
    return f'mmcv has no operators any more: {target} was removed.'


def write(file: Path, content: bytes) -> None:
    """Write a file, with a clear message where that is forbidden."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InstallationError(
            f'cannot write {file}: {error.strerror}. Use an environment of your own'
        ) from error


def note_file(mmcv: Path, content: bytes | None) -> None:
    """Add our file to the list by which pip removes mmcv, or take it from there.

    Args:
        mmcv: Folder of mmcv.
        content: What the file holds; None if it is gone.
    """
    record = find_record(mmcv)
    if record is None:  # a source tree: pip has no list of its files
        return
    with record.open(newline='', encoding='utf-8') as file:
        rows = [row for row in csv.reader(file) if row and row[0] != RECORDED]
    if content is not None:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()
        rows.append([RECORDED, f'sha256={digest}', str(len(content))])
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    write(record, text.getvalue().encode())


def find_record(mmcv: Path) -> Path | None:
    """Return the list of files of the distribution to which a folder of mmcv belongs."""
    for folder in mmcv.parent.glob('*mmcv*.dist-info'):
        files = metadata.Distribution.at(folder).files or ()
        if any(str(file) == 'mmcv/__init__.py' for file in files):
            return folder / 'RECORD'
    return None


def list_asked(mmcv: Path) -> Iterator[str]:
    """Yield the names that the modules of `mmcv.ops` look for in the extension."""
    for file in sorted((mmcv / 'ops').glob('*.py')):
        for names in ASKED.findall(file.read_text('utf-8')):
            yield from re.findall(r"'(\w+)'", names)


def list_operators(mmcv: Path, ours: set[str]) -> tuple[list[str], list[str]]:
    """Return mmcv's operators that are among ``ours``, and the others; both passes as one."""
    names = sorted(set(list_asked(mmcv)))
    there, missing = (
        {PASS.sub('', name) for name in names if (name in ours) == is_there}
        for is_there in (True, False)
    )
    return sorted(there - ABOUT), sorted(missing)
