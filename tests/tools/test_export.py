import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from test_balance import RANKING_HEAD
from tiny_runs import tiny_model
from torch import nn

import mmdet_alrp  # noqa: F401 - registers the head
from mmdet_alrp.calibration import Calibration, ClassMap, Knots
from mmdet_alrp.engine.score_calibration import calibrate_scores

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


class CalibratedPredictions(nn.Module):
    """Expected IoUs of all anchors, then deltas of each level. As in docs/calibration.md."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, images):
        scores, deltas = self.detector(images, mode='tensor')
        ious = [self.detector.score_map.map_channels(level.sigmoid()) for level in scores]
        return (*ious, *deltas)


@pytest.fixture(scope='module')
def calibrated(network):
    detector = deepcopy(network.detector)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.uniform(size=(5, 2, 6)), axis=-1)  # of five classes
    names = [f'class {label}' for label in range(5)]
    maps = {
        name: ClassMap(9, Knots(np.r_[0.0, scores, 1.0], np.r_[0.0, ious, 1.0]), None, None)
        for name, (scores, ious) in zip(names, rows, strict=True)
    }
    shared = Knots(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    calibrate_scores(detector, Calibration('isotonic', 'bbox', shared, maps), names)
    network = CalibratedPredictions(detector).eval()
    assert {'detector.score_map.scores', 'detector.score_map.ious'} <= set(network.state_dict())
    return network, [maps[name].knots for name in names]


def test_calibrated_graphs_give_the_interpolated_scores(network, calibrated, tmp_path):
    reference = pytest.importorskip('onnx.reference', reason=NO_ONNX)
    calibrated, knots = calibrated
    batch = images(2, 96, 64)
    expected = list(expected_of(network, batch))
    for level in range(3):
        probs = expected[level].sigmoid().numpy().astype(float)
        for channel in range(probs.shape[1]):
            probs[:, channel] = knots[channel % 5](probs[:, channel])
        expected[level] = torch.tensor(probs, dtype=torch.float32)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch calls its TorchScript old
        traced = torch.jit.trace(calibrated, images(1, 64, 96))
        in_script = traced(batch)
    assert {'detector.score_map.scores', 'detector.score_map.ious'} <= set(traced.state_dict())
    path = exported(calibrated, tmp_path / 'model.onnx', do_constant_folding=False)
    graph = reference.ReferenceEvaluator(str(path))
    tensors = {tensor.name for tensor in graph.proto_.graph.initializer}
    assert {'detector.score_map.scores', 'detector.score_map.ious'} <= tensors
    in_onnx = [torch.tensor(output) for output in graph.run(None, {'images': batch.numpy()})]
    for outputs in (in_script, in_onnx):
        for output, value in zip(outputs, expected, strict=True):
            torch.testing.assert_close(output, value, rtol=1e-4, atol=1e-5)


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
    return exported(network, tmp_path_factory.mktemp('onnx') / 'model.onnx')


def exported(network, path, **options):
    pytest.importorskip('onnx', reason=NO_ONNX)
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
            **options,
        )
    return path


@pytest.mark.parametrize('shape', [(1, 64, 96), (2, 96, 64)])
def test_onnx_gives_the_same_for_every_size(network, onnx_file, shape):
    reference = pytest.importorskip('onnx.reference', reason=NO_ONNX)
    batch = images(*shape)
    outputs = reference.ReferenceEvaluator(str(onnx_file)).run(None, {'images': batch.numpy()})
    for output, expected in zip(outputs, expected_of(network, batch), strict=True):
        torch.testing.assert_close(torch.tensor(output), expected, rtol=1e-4, atol=1e-5)
