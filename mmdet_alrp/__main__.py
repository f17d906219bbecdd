"""Report what was found of the stack, and what to do about each misfit: `python -m mmdet_alrp`.

`python -m mmdet_alrp operators` gives operators to an mmcv that was installed without a compiler.
"""

from __future__ import annotations

import argparse
import platform
import sys
import textwrap
import warnings
from importlib import import_module, metadata

from mmdet_alrp.compatibility import (
    BUILD_HINT,
    OPTIONAL,
    Finding,
    first_line,
    is_importable,
    missing_line,
    survey,
    version_key,
)
from mmdet_alrp.operators import installation
from mmdet_alrp.version import __version__

DISTRIBUTIONS = ('pycocotools', 'pysodmetrics', 'faster-coco-eval')  # the last two are extras
OPENCV = ('opencv-python', 'opencv-python-headless')


def try_operators() -> tuple[str, str]:
    """Call one operator of mmcv; return what to show and what to do ('' if it works)."""
    try:
        import torch
        from mmcv.ops import get_compiling_cuda_version, nms

        boxes = torch.tensor(
            [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [20.0, 20.0, 30.0, 30.0]]
        )
        _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
        cuda = get_compiling_cuda_version()
    except Exception as error:
        return (
            'fail',
            f'The operators of mmcv fail ({first_line(error)}): reinstall it, {BUILD_HINT}.',
        )
    if kept.tolist() != [0, 2]:
        return 'wrong', f'NMS of mmcv gives wrong results: reinstall it, {BUILD_HINT}.'
    shown = (
        f'{name_origin()}, {"CPU only" if cuda == "not available" else f"CUDA {cuda}"}, NMS works'
    )
    if cuda == 'not available' and torch.cuda.is_available():
        return (
            shown,
            f'There is a GPU but mmcv has no CUDA operators: install those for it, {BUILD_HINT}, '
            'or hide the GPU with CUDA_VISIBLE_DEVICES= (empty).',
        )
    return shown, ''


def name_origin() -> str:
    """Say where the operators of mmcv come from."""
    if installation.find_compiled(installation.find_mmcv()):
        return 'compiled'
    return f'on torchvision {find_distribution("torchvision")}'


def list_operators() -> list[tuple[str, str]]:
    """Return which operators stand on torchvision and which of mmcv's are missing, as rows."""
    mmcv = installation.find_mmcv()
    if installation.find_compiled(mmcv):
        return []
    from mmdet_alrp.operators.lookup import OPERATORS

    there, missing = installation.list_operators(mmcv, set(OPERATORS))
    return [('', ', '.join(there)), ('not there', ', '.join(missing))]


def list_devices() -> str:
    """Name the devices that torch can use."""
    try:
        import torch

        names = [f'CPU with {torch.get_num_threads()} threads']
        for index in range(torch.cuda.device_count()):
            names.append(f'cuda:{index} {torch.cuda.get_device_name(index)}')
    except Exception as error:
        return f'unknown ({first_line(error)})'
    return ', '.join(names)


def check_neighbours() -> list[str]:
    """Find what is installed beside the stack and would stop it at run time."""
    problems = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # setuptools announces the end of pkg_resources
            import_module('pkg_resources')
    except Exception:  # an old one that does not fit this Python fails in its own ways
        problems.append("mmengine needs pkg_resources. Run: pip install 'setuptools<81'")
    try:
        import_module('torchvision')
    except ModuleNotFoundError as error:
        if error.name != 'torchvision':
            problems.append(f'torchvision misses {error.name}. Run: pip install {error.name}')
    except Exception as error:
        problems.append(
            f'torchvision does not fit this torch ({first_line(error)}) and stops every run of '
            f'mmengine. Run: pip install {installation.matching_torchvision()}'
        )
    return problems + check_opencv()


def check_opencv() -> list[str]:
    """Find two OpenCV distributions of different versions: they overwrite each other's files."""
    versions = {name: find_distribution(name) for name in OPENCV}
    present = {name: version for name, version in versions.items() if version}
    if len(set(present.values())) < 2:
        return []
    named = ' and '.join(f'{name} {version}' for name, version in present.items())
    wanted = ' '.join(f"'{name}=={min(present.values(), key=version_key)}'" for name in present)
    return [f'{named} share the folder cv2 and must be of one version. Run: pip install {wanted}']


def check_registration() -> list[str]:
    """Import all registered parts."""
    from mmdet_alrp.registration import PARTS

    problems = []
    seg = is_importable('mmseg')
    modules = {module for _, module, needed, _ in PARTS if seg or 'mmseg' not in needed}
    for part in sorted(modules):
        try:
            import_module(part)
        except Exception as error:
            problems.append(f'{part} fails: {type(error).__name__}: {first_line(error)}')
    return problems


def describe(finding: Finding) -> str:
    """Return the version of a finding with its distribution where that has another name."""
    if not finding.installed:
        return 'not installed'
    other_name = finding.distribution != finding.module
    return finding.version + (f' ({finding.distribution})' if other_name else '')


def find_distribution(name: str) -> str:
    """Return the version of a distribution; empty where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ''


def change_operators(remove: bool) -> int:
    """Put operators on torchvision into mmcv, or take them out; 2 if that cannot be."""
    try:
        print(installation.remove() if remove else installation.install())
    except installation.InstallationError as error:
        print(f'mmdet_alrp operators: {error}.', file=sys.stderr)
        return 2
    return 0


def main() -> int:
    """Read the command line and do as it says."""
    parser = argparse.ArgumentParser('python -m mmdet_alrp', description=__doc__)
    commands = parser.add_subparsers(dest='command')
    operators = commands.add_parser('operators', help='give mmcv operators on torchvision')
    operators.add_argument('--remove', action='store_true', help='take them out again')
    args = parser.parse_args()
    return change_operators(args.remove) if args.command else report()


def report() -> int:
    """Print the report; 0 if everything fits, else 1."""
    findings = survey()
    problems = [finding.line() for finding in findings if finding.problem]
    problems += [
        missing_line(finding)
        for finding in findings
        if not (finding.installed or finding.problem or finding.module in OPTIONAL)
    ]
    rows = [('python', platform.python_version()), ('mmdet_alrp', __version__)]
    rows += [(finding.module, describe(finding)) for finding in findings]
    rows += [(name, find_distribution(name) or 'not installed') for name in DISTRIBUTIONS]
    if not find_distribution('pycocotools'):
        problems.append('pycocotools is missing. Run: pip install pycocotools')
    if not problems:
        operators, problem = try_operators()
        rows.append(('operators', operators))
        rows += list_operators()
        problems += [problem] if problem else []
        problems += check_neighbours() + check_registration()
    else:
        rows.append(('operators', 'not tried'))
    rows.append(('devices', list_devices()))
    for name, value in rows:
        print(textwrap.fill(value, 100, initial_indent=f'{name:17}', subsequent_indent=' ' * 17))
    if not problems:
        print('\nEverything fits.')
        return 0
    print('\nTo do:')
    for problem in problems:
        print(f'- {problem}')
    return 1


if __name__ == '__main__':
    sys.exit(main())
