"""The configs for the usual data sets of segmentation, and how their names are read."""

from copy import deepcopy
from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from mmseg.registry import MODELS
from torch import nn

import mmdet_alrp  # noqa: F401 - registers what the configs name

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / 'configs' / 'segmentation'
DATA = {'voc': 21, 'cityscapes': 19, 'duts': 1, 'msra_b': 1}
NETS = (
    'deeplabv3plus_r101',
    'deeplabv3plus_r50',
    'f3net_r50',
    'fpn_r50',
    'hrnet_w48',
    'pspnet_r101',
)
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py') if path.stem.endswith(tuple(DATA)))


def parts(name):
    """Loss, net and data set of a config's name."""
    data = next(data for data in DATA if name.endswith(f'_{data}'))
    net = next(net for net in NETS if name.endswith(f'_{net}_{data}'))
    return name.removesuffix(f'_{net}_{data}'), net, data


@cache
def _loaded(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def load(name):
    """A config, to be changed at will."""
    return deepcopy(_loaded(name))


def build(name):
    """The model of a config with random weights, for one process; nothing is downloaded."""
    cfg = load(name)
    init_default_scope('mmseg')
    import_modules_from_strings('mmseg.models')
    cfg.model.pretrained = None
    cfg.model.backbone.init_cfg = None
    return MODELS.build(without_sync(cfg.model))


def without_sync(part):
    """A part of a config with plain batch normalisation."""
    if isinstance(part, dict):
        for key, value in part.items():
            part[key] = 'BN' if value == 'SyncBN' else without_sync(value)
    return part


def heads(model):
    """Decode head and, where there is one, auxiliary head of a model or of its config."""
    if isinstance(model, nn.Module):
        return [model.decode_head, *([model.auxiliary_head] if model.with_auxiliary_head else [])]
    return [model[key] for key in ('decode_head', 'auxiliary_head') if key in model]
