import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh_python import run_python
from mmengine.logging import HistoryBuffer
from torch import nn

from mmdet_alrp.guards import checkpoint_safety


@pytest.fixture(params=["torch's list", 'own unpickler'])
def loader(request, monkeypatch):
    """`load_safely` as on a torch with a list of safe globals, and as on an older one."""
    if request.param == 'own unpickler':
        monkeypatch.setattr(checkpoint_safety, '_has_list', lambda: False)
    elif not checkpoint_safety._has_list():
        pytest.skip('this torch has no such list')
    return checkpoint_safety.load_safely


def reloaded(content, path, loader):
    torch.save(content, path)
    return loader(path)


class Attribute:
    """Pickles as `getattr(owner, name)`, as the methods of a HistoryBuffer do."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


class Command:
    def __reduce__(self):
        return os.system, ('true',)


def test_history_buffer_keeps_values_and_methods(tmp_path, loader):
    history = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    again = reloaded({'loss': history}, tmp_path / 'file.pth', loader)['loss']
    assert again.mean() == 3.0
    assert again.statistics('max') == 6.0
    again.update(8.0)
    assert again.current() == 8.0


@pytest.mark.parametrize('kind', checkpoint_safety.SCALAR_TYPES)
def test_numpy_scalars_and_arrays(tmp_path, loader, kind):
    content = {'best_score': kind(1), 'curve': np.array([0, 1], kind)}
    again = reloaded(content, tmp_path / 'file.pth', loader)
    assert again['best_score'] == content['best_score']
    np.testing.assert_array_equal(again['curve'], content['curve'])
    assert again['curve'].dtype == kind


needs_list = pytest.mark.skipif(
    not hasattr(torch.serialization, 'safe_globals'), reason='this torch has no such list'
)


@needs_list
def test_list_is_as_before_after_a_load(tmp_path):
    torch.save({'loss': HistoryBuffer([1.0, 3.0], [1, 1])}, tmp_path / 'file.pth')
    own = next(entry for entry in checkpoint_safety.checkpoint_classes() if entry[0] is np.ndarray)
    with torch.serialization.safe_globals([HistoryBuffer, own]):  # somebody's who needs them too
        before = set(torch.serialization.get_safe_globals())
        assert checkpoint_safety.load_safely(tmp_path / 'file.pth')['loss'].mean() == 2.0
        assert set(torch.serialization.get_safe_globals()) == before


@needs_list
def test_loader_that_takes_its_classes_off_the_list_leaves_ours(tmp_path):
    torch.save({'loss': HistoryBuffer([1.0, 3.0], [1, 1])}, tmp_path / 'file.pth')
    with checkpoint_safety.checkpoint_globals():
        # as that of onedl-mmengine does
        with torch.serialization.safe_globals([HistoryBuffer, np.ndarray, np.dtype]):
            pass
        assert torch.load(tmp_path / 'file.pth', weights_only=True)['loss'].mean() == 2.0


def test_mmengine_loads_its_checkpoints_and_the_list_is_as_before(tmp_path):
    code = """
import sys, torch
from mmengine.logging import HistoryBuffer
import mmdet_alrp.models
from mmengine.runner.checkpoint import load_checkpoint
net = torch.nn.Linear(2, 1)
torch.save({'state_dict': net.state_dict(), 'loss': HistoryBuffer([1.0], [1])}, 'file.pth')
print(load_checkpoint(net, 'file.pth')['loss'].mean())
listed = getattr(torch.serialization, 'get_safe_globals', list)()
print([entry for entry in listed if 'HistoryBuffer' in str(entry)])
"""
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).resolve().parents[2])}
    answer = run_python('-W', 'ignore', '-c', code, folder=tmp_path, environment=environment)
    assert answer.stdout.splitlines()[-2:] == ['1.0', '[]'], answer.stderr


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
def test_everything_else_is_still_refused(tmp_path, loader, foreign):
    torch.save({'state_dict': foreign}, tmp_path / 'file.pth')
    with pytest.raises(pickle.UnpicklingError, match=r'(?i)unsupported'):
        loader(tmp_path / 'file.pth')


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('mmap', [False, True])
def test_weights_and_optimiser_come_back_from_both_formats(tmp_path, loader, mmap, zipped):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(torch.bfloat16)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.ones(1, 1, 4, 4, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    content = {'state_dict': net.state_dict(), 'optimizer': optimizer.state_dict()}
    content['meta'] = {'epoch': 3, 'classes': ('a', 'b'), 'size': torch.Size([1, 2])}
    torch.save(content, tmp_path / 'file.pth', _use_new_zipfile_serialization=zipped)
    again = loader(tmp_path / 'file.pth', mmap)
    assert again['meta'] == content['meta']
    assert again['optimizer']['param_groups'] == content['optimizer']['param_groups']
    for key, value in content['state_dict'].items():
        torch.testing.assert_close(again['state_dict'][key], value, rtol=0, atol=0)
    momenta = [state['momentum_buffer'] for state in again['optimizer']['state'].values()]
    expected = [state['momentum_buffer'] for state in optimizer.state_dict()['state'].values()]
    torch.testing.assert_close(momenta, expected, rtol=0, atol=0)


@pytest.mark.parametrize('text', [b'', b'no checkpoint', b'PK no zip'])
def test_other_files_end_in_an_error_that_is_named(tmp_path, loader, text):
    (tmp_path / 'file.pth').write_bytes(text)
    with pytest.raises((pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError)):
        loader(tmp_path / 'file.pth')


def test_torch_without_the_list_is_left_alone(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.5.1+cu121')
    monkeypatch.delattr(torch.serialization, 'safe_globals', raising=False)
    with checkpoint_safety.checkpoint_globals():
        pass
