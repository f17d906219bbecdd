import io
import warnings

import numpy as np
import pytest
import torch
from matches import random_class

from mmdet_alrp.calibration import Knots, fit_calibration
from mmdet_alrp.calibration.score_map import ScoreMap

CLASSES = [random_class('a', 0), random_class('b', 1, 60), random_class('c', 2, 400, 0.9)]


@pytest.fixture(scope='module')
def knots():
    calibration = fit_calibration(CLASSES)
    found = [calibration.knots_of(c.name) for c in CLASSES]
    assert len({len(each.scores) for each in found}) == 3  # so that rows are padded
    return found


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_agrees_with_interpolation(knots, dtype):
    scores = torch.rand(2, 50, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    mapped = ScoreMap(knots)(scores)
    assert mapped.dtype == dtype and mapped.shape == scores.shape
    expected = np.stack([each(scores[..., i].numpy()) for i, each in enumerate(knots)], axis=-1)
    np.testing.assert_allclose(mapped.numpy(), expected, atol=1e-3 if dtype.itemsize == 2 else 2e-6)
    labels = torch.randint(3, (50,), generator=torch.Generator().manual_seed(1))
    picked = scores[0][torch.arange(50), labels]
    torch.testing.assert_close(
        ScoreMap(knots)(picked, labels), mapped[0][torch.arange(50), labels], rtol=0, atol=0
    )
    assert ScoreMap(knots)(picked[:0], labels[:0]).shape == (0,)


def test_never_falls_between_neighbours_in_single_precision(knots):
    score_map = ScoreMap(knots)
    scores = torch.rand(200_000, generator=torch.Generator().manual_seed(2)) ** 3
    scores = torch.cat([scores, score_map.scores.flatten()])
    above = torch.nextafter(scores, torch.ones_like(scores)).clamp(max=1)
    for label in range(3):
        labels = torch.full(scores.shape, label)
        assert (score_map(above, labels) >= score_map(scores, labels)).all()
        assert (score_map(scores.sort().values, labels).diff() >= 0).all()
    ends = score_map(torch.tensor([[0.0] * 3, [1.0] * 3]))
    assert ends.min() >= 0 and ends.max() <= 1


@pytest.mark.parametrize('iou', [0.0, 0.05, 0.3, 0.5, 0.99])
def test_lowest_score_leaves_out_nothing_that_reaches_the_iou(knots, iou):
    score_map = ScoreMap(knots)
    lowest = score_map.lowest_score(iou)
    scores = torch.linspace(0, 1, 20_001)[:, None].expand(-1, 3)
    reaching = (score_map(scores) >= iou).any(dim=1)
    first = float(scores[reaching][0, 0]) if reaching.any() else 1.0
    assert first - 1e-4 <= lowest <= first + 1e-6


def test_two_tensors_are_all_its_state(knots):
    score_map = ScoreMap(knots)
    state = score_map.state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        'scores': (3, max(len(each.scores) for each in knots)),
        'ious': (3, max(len(each.scores) for each in knots)),
    }
    line = Knots(
        np.linspace(0, 1, state['scores'].shape[1]), np.linspace(0, 1, len(state['ious'][0]))
    )
    other = ScoreMap([line] * 3)
    other.load_state_dict(state)
    scores = torch.rand(9, 3)
    assert other(scores).equal(score_map(scores))


def test_traced(knots):
    score_map = ScoreMap(knots)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.jit.save(torch.jit.trace(score_map, torch.rand(1, 4, 3)), file)
        file.seek(0)
        loaded = torch.jit.load(file)
    scores = torch.rand(2, 7, 3)
    torch.testing.assert_close(loaded(scores), score_map(scores))
    assert set(loaded.state_dict()) == {'scores', 'ious'}
