"""Which versions of torch and of the OpenMMLab stack fit, and what to do about those that do not.

Standard library only at import: set-up runs this file by its path, before anything is installed.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

OPENMMLAB = ('mmengine', 'mmcv', 'mmdet')
OPTIONAL = ('mmseg',)
BUILD_HINT = 'see docs/install.md'
OPERATORS_HINT = 'Run: python -m mmdet_alrp operators'


@dataclass(frozen=True)
class Release:
    """A distribution that provides a module, and its versions that fit: minimum <= v < below.

    Args:
        distribution: Name for pip.
        minimum: First version that fits.
        below: First version that no longer fits; empty sets no limit.
    """

    distribution: str
    minimum: str
    below: str = ''

    def accepts(self, version: str) -> bool:
        """Say whether ``version`` lies in the range."""
        key = version_key(version)
        return version_key(self.minimum) <= key and (
            not self.below or key < version_key(self.below)
        )

    def __str__(self) -> str:
        """Return the range as pip reads it."""
        upper = f',<{self.below}' if self.below else ''
        return f'{self.distribution}>={self.minimum}{upper}'


# The first release of a module is the one that remedies name. The onedl ones are maintained forks
# that install under the same module names.
ACCEPTED: dict[str, tuple[Release, ...]] = {
    'torch': (Release('torch', '2.0'),),
    'mmengine': (
        Release('mmengine', '0.10', '0.11'),
        Release('mmengine-lite', '0.10', '0.11'),
        Release('onedl-mmengine', '0.10', '0.11'),
    ),
    'mmcv': (
        Release('mmcv', '2.0.0rc4', '2.2'),
        Release('mmcv-lite', '2.0.0rc4', '2.2'),
        Release('onedl-mmcv', '2.3', '2.4'),
    ),
    'mmdet': (Release('mmdet', '3.3', '3.4'), Release('onedl-mmdetection', '3.5', '3.6')),
    'mmseg': (
        Release('mmsegmentation', '1.2', '1.3'),
        Release('onedl-mmsegmentation', '1.4', '1.5'),
    ),
}


@dataclass(frozen=True)
class Finding:
    """What was found of one module.

    Args:
        module: Name for ``import``.
        distribution: What provides it, by its name for pip; empty where the module is absent.
        version: Its version; empty where the module is absent.
        needed: Versions that fit, as pip reads them.
        problem: What is wrong with it, as the end of a sentence; empty where it fits, and where
            it is absent (but for torch, which is needed for everything).
        remedy: What to do about it, a sentence without its full stop.
    """

    module: str
    distribution: str
    version: str
    needed: str
    problem: str = ''
    remedy: str = ''

    @property
    def installed(self) -> bool:
        """Whether the module is there at all."""
        return bool(self.version)

    @property
    def fits(self) -> bool:
        """Whether the module is there and of a version that is accepted."""
        return self.installed and not self.problem

    def line(self) -> str:
        """Say in one line what was found, what is needed and what to do."""
        found = f'{self.distribution} {self.version}' if self.installed else self.module
        return f'{found} {self.problem}; needed: {self.needed}. {self.remedy}.'


def version_key(version: str) -> tuple[tuple[int, ...], tuple[int, str, int]]:
    """Return a key that sorts versions; a pre-release comes before its final release."""
    match = re.match(r'(\d+(?:\.\d+)*)(?:[.-]?(dev|a|b|rc)(\d*))?', version)
    if match is None:
        return (0,), (0, '', 0)
    release = tuple(int(part) for part in match[1].split('.'))
    padded = release + (0,) * (4 - len(release))
    return padded, (0, match[2], int(match[3] or 0)) if match[2] else (1, '', 0)


def is_importable(module: str) -> bool:
    """Say whether a module could be imported, without importing it (but for its parents)."""
    try:
        return find_spec(module) is not None
    except ImportError:  # an import hook forbids it
        return False
    except ValueError:  # it is loaded already, by hand and without a spec
        return True


def find_version(module: str) -> tuple[str, str]:
    """Return distribution and version that provide ``module``; ('', '') where it is absent."""
    if not is_importable(module):
        return '', ''
    for release in ACCEPTED[module]:
        try:
            version = metadata.version(release.distribution)
        except metadata.PackageNotFoundError:
            continue
        if version:
            return release.distribution, version
    return module, source_version(module)


def source_version(module: str) -> str:
    """Read the version of a source tree that is on the path without being installed."""
    spec = sys.modules[module].__spec__ if module in sys.modules else find_spec(module)
    for folder in getattr(spec, 'submodule_search_locations', None) or ():
        file = Path(folder, 'version.py')
        if file.is_file():
            match = re.search(r'^__version__\s*=\s*[\'"]([^\'"]+)', file.read_text('utf-8'), re.M)
            if match:
                return match[1]
    return 'of unknown version'


def compiled_ops_problem() -> str:
    """Say what is wrong with mmcv's operators, compiled or ours; empty where they load."""
    try:
        import_module('torch')  # the operators are linked against its libraries
        if find_spec('mmcv._ext') is None:
            return 'was installed without operators'
    except Exception as error:  # whatever torch or mmcv trip over: a library, another version
        return f'cannot be imported ({type(error).__name__}: {first_line(error)})'
    try:
        import_module('mmcv._ext')
    except (ImportError, OSError) as error:
        return f'has operators that do not load ({first_line(error)})'
    return ''


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip().splitlines() or [''])[0]


def examine(module: str) -> Finding:
    """Compare the version of one module with what is accepted."""
    distribution, version = find_version(module)
    releases = ACCEPTED[module]
    needed = ' or '.join(str(release) for release in releases if 'lite' not in release.distribution)
    finding = Finding(module, distribution, version, needed)
    if not version or version == 'of unknown version':
        return finding
    own = [release for release in releases if release.distribution == distribution]
    if any(release.accepts(version) for release in own):
        return finding
    return replace(finding, problem='does not fit', remedy=f"Run: pip install '{releases[0]}'")


def survey() -> list[Finding]:
    """Examine torch, mmengine, mmcv (with its operators), mmdet and mmseg, in this order.

    The operators of mmcv are tried only where mmdet is there, which alone needs them.
    """
    findings = {module: examine(module) for module in ACCEPTED}
    mmcv, mmdet = findings['mmcv'], findings['mmdet']
    if not findings['torch'].installed:
        findings['torch'] = replace(
            findings['torch'],
            problem='is not installed',
            remedy='Install the build that fits your device',
        )
    elif all(findings[module].fits for module in OPENMMLAB):
        problem = compiled_ops_problem()
        if problem:
            findings['mmcv'] = replace(mmcv, problem=problem, remedy=OPERATORS_HINT)
        elif is_fork(mmcv) != is_fork(mmdet):
            findings['mmcv'] = mixed_families(mmcv, mmdet)
    mmseg = findings['mmseg']
    if mmcv.fits and mmseg.fits and is_fork(mmcv) != is_fork(mmseg):
        findings['mmseg'] = mixed_families(mmseg, mmcv)
    return list(findings.values())


def mixed_families(finding: Finding, other: Finding) -> Finding:
    """Return the finding with the problem that the other one comes from another family."""
    return replace(
        finding,
        problem=f'does not fit {other.distribution} {other.version}',
        remedy='Install all from one family: mmcv with mmdet and mmsegmentation, '
        'or onedl-mmcv with onedl-mmdetection and onedl-mmsegmentation',
    )


def is_fork(finding: Finding) -> bool:
    """Say whether a module comes from the onedl family."""
    return finding.distribution.startswith('onedl-')


def refuse_misfits(*modules: str) -> None:
    """Check what a part of this package needs beside torch.

    Args:
        modules: Modules of the stack that must be there and fit.

    Raises:
        ImportError: If one of them, or torch, is missing or does not fit; one line for each.
    """
    needed = [finding for finding in survey() if finding.module in ('torch', *modules)]
    lines = [finding.line() for finding in needed if finding.problem]
    lines += [missing_line(finding) for finding in needed if not finding.installed]
    if lines:
        raise ImportError(
            '\n'.join(
                [
                    'mmdet_alrp does not fit what is installed here:',
                    *dict.fromkeys(lines),
                    '`python -m mmdet_alrp` shows the whole picture.',
                ]
            )
        )


def missing_line(finding: Finding) -> str:
    """Say in one line that a module is missing, which versions fit and how to get one.

    Args:
        finding: Of a module that is not installed.
    """
    if finding.problem:
        return finding.line()
    hint = f' (mmcv needs operators, {BUILD_HINT})' if finding.module == 'mmcv' else ''
    return (
        f'{finding.module} is missing; needed: {finding.needed}. '
        f"Run: pip install '{ACCEPTED[finding.module][0]}'{hint}."
    )
