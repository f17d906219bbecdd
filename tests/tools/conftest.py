import pytest
from tiny_runs import NUM_TRAIN, SIDE, run_tool, write_config

from mmdet_alrp.datasets import ShapesOptions, write_shapes


@pytest.fixture(scope='session')
def tiny_shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(
        root, ShapesOptions(train=NUM_TRAIN, val=6, width=SIDE, height=SIDE, scenes='hard')
    )
    return root


@pytest.fixture(scope='session')
def tiny_config(tiny_shapes, tmp_path_factory):
    """The tiny focal-loss config; other heads: `write_config(path, tiny_shapes, head)`."""
    return write_config(tmp_path_factory.mktemp('config') / 'tiny_focal.py', tiny_shapes)


@pytest.fixture(scope='session')
def trained(tiny_config, tmp_path_factory):
    """Work dir of an uninterrupted run of EPOCHS epochs."""
    folder = tmp_path_factory.mktemp('trained')
    result = run_tool('train.py', tiny_config, '--work-dir', folder / 'run', cwd=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder / 'run'
