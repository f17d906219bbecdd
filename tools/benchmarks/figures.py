"""What the benchmarks share: counts on the command line, and how figures are written."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import torch

from mmdet_alrp.atomic_write import atomic_write


def count(text: str) -> int:
    """Whole number >= 1 from the command line, also in the form 1e6.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (1 <= value < 1e12 and value == int(value)):
        raise argparse.ArgumentTypeError(f'must be a whole number of at least 1: {text}')
    return int(value)


def new_file(text: str) -> Path:
    """Path of a file, from the command line, that can be written: its folder is there.

    Raises:
        ArgumentTypeError: If there is no such folder, or a folder of that name.
    """
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f'no folder {path.parent}')
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} is a folder, not a file')
    return path


def name_machine(device: torch.device) -> str:
    """The processor that did the work, as it calls itself."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    models = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    named = [model for model in models if model.lower() != 'unknown']
    return named[0] if named else f'{platform.system()} {platform.machine()} CPU'


def milliseconds(seconds: float, digits: int = 1) -> str:
    """Time for a table: three digits or so, at most ``digits`` behind the point."""
    return f'{1000 * seconds:,.{0 if seconds >= 0.1 else digits}f}'


def write_json(path: Path, content: dict) -> None:
    """Write JSON; an interrupted run leaves no half file."""
    text = json.dumps(content, indent=2) + '\n'
    with atomic_write(path) as draft:
        draft.write_text(text, encoding='utf-8')


def write_json_or_exit(tool: str, path: Path, content: dict) -> None:
    """As :func:`write_json`; what cannot be written ends the tool with one line and status 2."""
    try:
        write_json(path, content)
    except OSError as reason:
        print(f'{tool}: error: --json: {reason}', file=sys.stderr)
        sys.exit(2)
