import warnings

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from test_balance import RANKING_HEAD
from tiny_runs import tiny_model
from torch import nn

import mmdet_alrp  # noqa: F401 - registers the head

NO_ONNX = 'the ONNX export needs the onnx package: pip install onnx'
OUTPUTS = [f'{kind}_{level}' for kind in ('scores', 'deltas') for level in range(3)]


class Predictions(nn.Module):
    """Backbone, neck and head: logits, then deltas of each level. As in docs/deployment.md."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, images):
        scores, deltas = self.detector(images, mode='tensor')
        return (*scores, *deltas)


@pytest.fixture(scope='module')
def network():
    init_default_scope('mmdet')
    torch.manual_seed(0)
    detector = MODELS.build(ConfigDict(tiny_model(RANKING_HEAD)))
    for parameter in detector.bbox_head.parameters():  # outputs that depend on the image
        nn.init.normal_(parameter, std=0.1)
    return Predictions(detector).eval()


def images(count, height, width):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(count))


def expected_of(network, batch):
    with torch.no_grad():
        outputs = network(batch)
    assert all(output.std() > 1e-3 for output in outputs)
    return outputs


@pytest.mark.parametrize('shape', [(1, 64, 96), (2, 96, 64), (3, 160, 128)])
def test_torchscript_gives_the_same_for_every_size(network, shape, tmp_path):
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch calls its TorchScript old
        torch.jit.trace(network, images(1, 64, 96)).save(str(tmp_path / 'model.pt'))
        script = torch.jit.load(str(tmp_path / 'model.pt'))
        outputs = script(images(*shape))
    torch.testing.assert_close(outputs, expected_of(network, images(*shape)))


@pytest.fixture(scope='module')
def onnx_file(network, tmp_path_factory):
    pytest.importorskip('onnx', reason=NO_ONNX)
    path = tmp_path_factory.mktemp('onnx') / 'model.onnx'
    sizes = {name: {0: 'count', 2: 'height', 3: 'width'} for name in ('images', *OUTPUTS)}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the exporter that needs no other package is the old one
        torch.onnx.export(
            network,
            (images(1, 64, 96),),
            str(path),
            input_names=['images'],
            output_names=OUTPUTS,
            dynamic_axes=sizes,
            opset_version=17,
            dynamo=False,
        )
    return path


@pytest.mark.parametrize('shape', [(1, 64, 96), (2, 96, 64)])
def test_onnx_gives_the_same_for_every_size(network, onnx_file, shape):
    reference = pytest.importorskip('onnx.reference', reason=NO_ONNX)
    batch = images(*shape)
    outputs = reference.ReferenceEvaluator(str(onnx_file)).run(None, {'images': batch.numpy()})
    for output, expected in zip(outputs, expected_of(network, batch), strict=True):
        torch.testing.assert_close(torch.tensor(output), expected, rtol=1e-4, atol=1e-5)
