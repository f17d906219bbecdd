import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_runs import REPO, load_tool

from mmdet_alrp.datasets import ShapesOptions, write_shapes

SIDE = 64
CONFIGS = {'semantic': 'ce_fcn_r18_shapes.py', 'saliency': 'bce_fpn_r18_saliency.py'}
GREY = 128


@pytest.fixture(scope='module')
def tool():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPO / 'tools' / 'analysis')
        yield load_tool('analysis/draw_masks')


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Drawn test images of both kinds, and weights that were not trained."""
    folder = tmp_path_factory.mktemp('masks')
    for kind, config in CONFIGS.items():
        write_shapes(folder / kind, ShapesOptions(1, 4, SIDE, SIDE, kind=kind, scenes='hard'))
        cfg = Config.fromfile(REPO / 'configs' / 'segmentation' / config)
        init_default_scope('mmseg')
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        # an answer that is known: class 1 everywhere, or salient with probability 1 / 2
        head = model.decode_head.conv_seg
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        if kind == 'semantic':
            head.bias.data[1] = 1.0
        torch.save({'state_dict': model.state_dict()}, folder / f'{kind}.pth')
    return folder


def arguments(made, kind, out, *names, count=2):
    methods = [
        f'{name}={REPO / "configs" / "segmentation" / CONFIGS[kind]}={made / kind}.pth'
        for name in names
    ]
    option = f'test_dataloader.dataset.data_root={made / kind}'
    return [str(out), *methods, '--count', str(count), '--cfg-options', option]


def panels(sheet, rows, columns):
    """The drawn images without captions and gaps."""
    tall, wide = SIDE + 22 + 10, SIDE + 10
    assert sheet.shape == (10 + rows * tall, 10 + columns * wide, 3)
    return [
        [sheet[y : y + SIDE, x : x + SIDE] for x in range(10, sheet.shape[1], wide)]
        for y in range(10 + 22, sheet.shape[0], tall)
    ]


def test_images_truth_and_predictions_lie_in_their_cells(tool, made, tmp_path, capsys):
    out = tmp_path / 'new' / 'sheet.png'
    assert tool.main(arguments(made, 'semantic', out, 'one', 'two')) == 0
    assert str(out) in capsys.readouterr().out
    names = sorted((made / 'semantic' / 'images' / 'val').iterdir())
    for row, path in zip(panels(cv2.imread(str(out)), 2, 4), (names[0], names[3]), strict=True):
        np.testing.assert_array_equal(row[0], cv2.imread(str(path)))
        labels = cv2.imread(str(made / 'semantic' / 'masks' / 'val' / f'{path.stem}.png'), 0)
        background = (row[1] == (40, 40, 40)).all(-1)
        np.testing.assert_array_equal(background, labels == 0)
        assert background.any() and not background.all()
        for prediction in row[2:]:
            assert (prediction == (60, 60, 230)).all()  # class 1, as BGR
    assert list(out.parent.iterdir()) == [out]


def test_saliency_is_drawn_in_grey(tool, made, tmp_path):
    out = tmp_path / 'sheet.png'
    assert tool.main(arguments(made, 'saliency', out, 'half', count=1)) == 0
    (row,) = panels(cv2.imread(str(out)), 1, 3)
    mask = min((made / 'saliency' / 'masks' / 'val').iterdir())
    np.testing.assert_array_equal(row[1] > GREY, cv2.imread(str(mask)) > GREY)
    assert (row[2] == GREY).all()


@pytest.mark.parametrize(
    ('methods', 'reason'),
    [
        (['config.py'], 'NAME=CONFIG=CHECKPOINT'),
        (['a=b=c', 'a=d=e'], 'two methods are named a'),
        (['a=missing.py=weights.pth'], 'missing.py'),
        ([f'a={REPO}/configs/alrp_retinanet_r18_shapes.py=weights.pth'], 'MMSegmentation'),
    ],
)
def test_wrong_use_is_one_line(tool, methods, reason, tmp_path, capsys):
    assert tool.main([str(tmp_path / 'out.png'), *methods]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('draw_masks.py: error: ') and reason in line
    assert not list(tmp_path.iterdir())


def test_weights_of_another_model_are_refused(tool, made, tmp_path, capsys):
    arguments_ = arguments(made, 'semantic', tmp_path / 'out.png', 'a')
    arguments_[1] = arguments_[1].replace('semantic.pth', 'saliency.pth')
    assert tool.main(arguments_) == 2
    assert 'does not fit' in capsys.readouterr().err.splitlines()[-1]
