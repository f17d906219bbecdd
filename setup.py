"""Build step that adds OpenMMLab's `.mim` folder; everything else is in pyproject.toml."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmdet_alrp'
MIM_PARTS = ('configs', 'tools', 'model-index.yml')
# What only a checkout needs
OF_THE_CHECKOUT = ('benchmarks', 'demo.py', 'documentation', 'environment', 'setup_env.py')
LEFT_OUT = shutil.ignore_patterns('__pycache__', '*.py[cod]', *OF_THE_CHECKOUT)


def copy_part(part: str, mim: Path) -> None:
    """Copy one file or folder of the repository into `.mim`."""
    source = ROOT / part
    if source.is_dir():
        shutil.copytree(source, mim / part, ignore=LEFT_OUT)
    else:
        shutil.copy2(source, mim / part)


class BuildWithMim(build_py):
    """Carry configs and tools inside the package, where MMEngine and MIM look for them."""

    def run(self) -> None:
        """Build the package, then copy (wheel) or link (editable install) the `.mim` parts."""
        super().run()
        base = ROOT if self.editable_mode else Path(self.build_lib)
        mim = base / PACKAGE / '.mim'
        # A file that was deleted since the last build must not live on in the next wheel.
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for part in MIM_PARTS:
            if not self.editable_mode:
                copy_part(part, mim)
                continue
            try:
                os.symlink(Path('..', '..', part), mim / part)
            except OSError:  # a file system without links
                copy_part(part, mim)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Name the built files, those of `.mim` included."""
        mim = Path(self.build_lib) / PACKAGE / '.mim'
        carried = [str(path) for path in mim.rglob('*') if path.is_file()]
        return [*super().get_outputs(include_bytecode), *carried]


setup(cmdclass={'build_py': BuildWithMim})
