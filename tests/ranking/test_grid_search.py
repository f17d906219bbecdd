import pytest
import torch

from mmdet_alrp.ranking import grid_search

EDGES = {
    'one': [0.5],
    'apart': [-3.0, -1.0, 0.5, 2.0, 7.25],
    'crowded': [-3.0, 0.5, 0.5000001, 0.5000002, 100.0],
    'equal': [-1.0, 0.5, 0.5, 0.5, 2.0],
    'far from zero': [1e6, 1e6 + 1, 1e6 + 4],
    'all equal': [0.5, 0.5],
}


@pytest.mark.parametrize('right', [True, False])
@pytest.mark.parametrize('edges', EDGES.values(), ids=EDGES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_bins_are_those_of_a_binary_search(edges, right, dtype):
    edges = torch.tensor(edges, dtype=dtype)
    spread = torch.linspace(edges[0] - 1, edges[-1] + 1, 500, dtype=dtype)
    neighbours = [torch.nextafter(edges, edges + side) for side in (-1, 1)]
    ends = torch.tensor([-1e30, 1e30], dtype=dtype)
    values = torch.cat([edges, *neighbours, spread, ends])
    expected = torch.bucketize(values, edges, out_int32=True, right=right)
    num_cells = grid_search.CELLS_AN_EDGE * len(edges)
    assert len(values) >= grid_search.MIN_VALUES_A_CELL * num_cells  # else there is no grid
    assert torch.equal(grid_search.bucketize(values, edges, right), expected)
