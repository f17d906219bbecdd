import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmdet_alrp.engine import checkpoint_safety

NEEDS_LIST = pytest.mark.skipif(
    not hasattr(torch.serialization, 'add_safe_globals'), reason='this torch has no such list'
)


def reloaded(content, path):
    torch.save(content, path)
    return torch.load(path, weights_only=True)


class Attribute:
    """Pickles as `getattr(owner, name)`, as the methods of a HistoryBuffer do."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


class Command:
    def __reduce__(self):
        return os.system, ('true',)


@NEEDS_LIST
def test_history_buffer_keeps_values_and_methods(tmp_path):
    history = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    again = reloaded({'loss': history}, tmp_path / 'file.pth')['loss']
    assert again.mean() == 3.0
    assert again.statistics('max') == 6.0
    again.update(8.0)
    assert again.current() == 8.0


@NEEDS_LIST
@pytest.mark.parametrize('kind', checkpoint_safety.SCALAR_TYPES)
def test_numpy_scalars_and_arrays(tmp_path, kind):
    content = {'best_score': kind(1), 'curve': np.array([0, 1], kind)}
    again = reloaded(content, tmp_path / 'file.pth')
    assert again['best_score'] == content['best_score']
    np.testing.assert_array_equal(again['curve'], content['curve'])
    assert again['curve'].dtype == kind


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'safe_globals'), reason='this torch has no such list'
)
def test_loader_that_takes_its_classes_off_the_list_leaves_ours(tmp_path):
    # as that of onedl-mmengine does
    with torch.serialization.safe_globals([HistoryBuffer, np.ndarray, np.dtype]):
        pass
    again = reloaded({'loss': HistoryBuffer([1.0, 3.0], [1, 1])}, tmp_path / 'file.pth')
    assert again['loss'].mean() == 2.0


@NEEDS_LIST
@pytest.mark.parametrize(
    'foreign',
    [
        Command(),
        Attribute(HistoryBuffer, '__init__'),
        Attribute(HistoryBuffer, '__reduce__'),
        Attribute(np.ndarray, 'min'),
        Attribute(np.ndarray, 'tofile'),
    ],
)
def test_everything_else_is_still_refused(tmp_path, foreign):
    torch.save({'state_dict': foreign}, tmp_path / 'file.pth')
    with pytest.raises(pickle.UnpicklingError, match=r'(?i)unsupported'):
        torch.load(tmp_path / 'file.pth', weights_only=True)


def test_torch_without_the_list_is_left_alone(monkeypatch):
    monkeypatch.delattr(torch.serialization, 'add_safe_globals', raising=False)
    assert checkpoint_safety.allow_checkpoint_classes() is False
