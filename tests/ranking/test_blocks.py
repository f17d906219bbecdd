"""Long tensors go through the cache of a CPU in blocks; no digit depends on that."""

import pytest
import torch
from paired import PAIRS, value_and_grad
from rankings import random_ranking

from mmdet_alrp.ranking import grid_search


@pytest.mark.parametrize('block', [1, 64, 3000])
@pytest.mark.parametrize('delta', [0.0, 0.5])
@pytest.mark.parametrize('error_skew', [0.0, 2.0])
@pytest.mark.parametrize('name', list(PAIRS))
def test_blocks_change_nothing(name, error_skew, delta, block, monkeypatch):
    monkeypatch.setattr(grid_search, 'MIN_VALUES_A_CELL', 0)  # a grid for few values as well
    case = random_ranking(20, 3000, seed=5)
    loss, grad = value_and_grad(name, case, delta, error_skew=error_skew)
    monkeypatch.setattr(grid_search, 'BLOCK', block)
    parts = [part.stop - part.start for part in grid_search.blocks(case[0])]
    assert set(parts) == {block} and sum(parts) >= len(case[0]) > sum(parts) - block
    cut_loss, cut_grad = value_and_grad(name, case, delta, error_skew=error_skew)
    assert torch.equal(loss, cut_loss) and torch.equal(grad, cut_grad)
