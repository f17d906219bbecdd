import pytest

from mmdet_alrp.datasets import ShapesOptions, write_shapes


@pytest.fixture(scope='session')
def proxy_shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('proxy') / 'semantic'
    write_shapes(folder, ShapesOptions(10, 1, 48, 48, kind='semantic', scenes='hard'))
    return folder
