from types import SimpleNamespace

import torch
from torch import nn

from mmdet_alrp.engine.hooks import ChannelsLastHook


def test_changes_the_format_of_the_parameters_that_the_optimiser_has():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    model.double()
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    expected = model(images)
    parameters = list(model.parameters())
    ChannelsLastHook().before_train(SimpleNamespace(model=model))
    assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))
    assert model[3].weight.is_contiguous(memory_format=torch.channels_last)
    found = model(images)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected)
