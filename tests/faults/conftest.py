import sys
from pathlib import Path

import pytest

# The tiny runs and heads that other tests use
TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / 'tools'), str(TESTS / 'models' / 'dense_heads')]


@pytest.fixture(scope='session')
def tiny_shapes(tmp_path_factory):
    from tiny_runs import NUM_TRAIN, SIDE

    from mmdet_alrp.datasets import ShapesOptions, write_shapes

    root = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(
        root, ShapesOptions(train=NUM_TRAIN, val=6, width=SIDE, height=SIDE, scenes='hard')
    )
    return root
