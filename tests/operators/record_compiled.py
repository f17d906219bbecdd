"""Record what compiled operators of mmcv give: `python tests/operators/record_compiled.py`.

Run in an environment whose mmcv has compiled operators. The two files beside this one were recorded
with mmcv 2.1.0 on a CPU, torch 2.13.0 (CPU build).
"""

import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / 'configs'), str(FOLDER.parents[1])]

import operator_cases  # noqa: E402
import operator_models  # noqa: E402
from mmcv import _ext  # noqa: E402


def main():
    if _ext.__file__.endswith('.py'):
        sys.exit('mmcv has no compiled operators here: nothing to record')
    arrays = {
        f'{name}.{key}': value
        for name in operator_cases.CASES
        for key, value in operator_cases.run(name).items()
    }
    np.savez_compressed(FOLDER / 'compiled_operators.npz', **arrays)
    models = {name: operator_models.run(name) for name in operator_models.NAMES}
    rows = [f'{json.dumps(name)}: {json.dumps(found)}' for name, found in models.items()]
    text = '{\n' + ',\n'.join(rows) + '\n}'
    (FOLDER / 'compiled_models.json').write_text(text + '\n', 'utf-8')


if __name__ == '__main__':
    main()
