"""Turn a checkpoint of MMDetection 2, such as the aLRP paper's, into one that this plugin loads."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import digit_version
from torch import Tensor, nn

import mmdet_alrp  # noqa: F401 - registers the heads of the configs and the safe classes
from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.cli.checkpoint_files import check_checkpoint
from mmdet_alrp.command_line import OneLineParser, UsageError, fail
from mmdet_alrp.guards.checkpoint_safety import load_safely

# Predictors that MMDetection 3 knows under another name
RENAMED = ((re.compile(r'^bbox_head\.fovea_(cls|reg)\.'), r'bbox_head.conv_\1.'),)
# One of these is in every detector that the tool knows
CLASSIFIERS = ('bbox_head.retina_cls', 'bbox_head.conv_cls', 'bbox_head.atss_cls')
CLASSIFIERS += ('roi_head.bbox_head.fc_cls', 'roi_head.bbox_head.0.fc_cls')
# The authors' first release: a RetinaNet of its own, not built on MMDetection
FIRST_RELEASE = ('classificationModel.', 'regressionModel.', 'fpn.P')
NO_CHECKPOINT = 'is no checkpoint of MMDetection 2'
# Training state of a loss, which a published file does not hold: balance ratio and sums
LOSS_STATE = re.compile(r'(^|\.)loss_\w+\.')
# Until this version the first of the two channels of a softmax RPN was the background
FOREGROUND_FIRST = '2.5.0'


def read_checkpoint(path: str) -> tuple[dict[str, Tensor], dict]:
    """Read weights and meta data of a checkpoint without running code from it.

    Args:
        path: A checkpoint with a ``state_dict``, or a file that is one.

    Returns:
        Weights by key (``module.`` of a parallel run removed) and the meta data.

    Raises:
        UsageError: If the file is missing, damaged, not safe or holds no weights.
    """
    check_checkpoint(path, 'IN')
    content = load_safely(path)
    weights = content.get('state_dict', content) if isinstance(content, dict) else None
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(value, Tensor) for value in weights.values())
    ):
        raise UsageError(f'{path} {NO_CHECKPOINT}: it holds no state_dict of tensors')
    meta = content.get('meta') if weights is not content else None
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    return weights, meta if isinstance(meta, dict) else {}


def check_layout(weights: dict[str, Tensor], meta: dict, path: str) -> None:
    """Refuse what is not a detector of MMDetection 2.

    Raises:
        UsageError: Says what the file seems to be instead.
    """
    if any(key.startswith(FIRST_RELEASE) for key in weights):
        raise UsageError(
            f"{path} {NO_CHECKPOINT}: it comes from the authors' first release, a network with "
            'other layers and anchors, which no config of this plugin builds'
        )
    if not {'mmengine_version', 'dataset_meta'}.isdisjoint(meta):
        raise UsageError(
            f'{path} {NO_CHECKPOINT}: it is one of MMDetection 3 already, use it as it is'
        )
    version = str(meta.get('mmdet_version', '2'))
    if version.startswith(('0.', '1.')) or 'bbox_head.fc_cls.weight' in weights:
        raise UsageError(
            f'{path} {NO_CHECKPOINT}: it has the layout of version 1, whose anchors and boxes '
            "differ by a pixel; MMDetection's upgrade_model_version.py rewrites such files"
        )


def rename(key: str) -> str:
    """Return the key under which MMDetection 3 holds a weight."""
    for pattern, new in RENAMED:
        key = pattern.sub(new, key)
    return key


def has_background_first(meta: dict) -> bool:
    """Whether a softmax RPN of this file's version has its background channel first."""
    version = re.match(r'\d+(\.\d+)*', str(meta.get('mmdet_version', '')))
    return version is None or digit_version(version.group()) < digit_version(FOREGROUND_FIRST)


def swap_rpn_channels(weights: dict[str, Tensor]) -> bool:
    """Put the foreground first in the classifier of a softmax RPN, in place.

    Returns:
        Whether there was one: with a sigmoid an anchor has one channel and nothing changes.
    """
    classifier, boxes = (weights.get(f'rpn_head.rpn_{name}.weight') for name in ('cls', 'reg'))
    if classifier is None or boxes is None or 2 * len(classifier) != len(boxes):
        return False  # 4 channels an anchor in boxes, 2 in a softmax classifier
    for part in ('weight', 'bias'):
        value = weights[f'rpn_head.rpn_cls.{part}']
        pairs = value.reshape(-1, 2, *value.shape[1:])
        weights[f'rpn_head.rpn_cls.{part}'] = pairs.flip(1).reshape(value.shape)
    return True


def convert(weights: dict[str, Tensor], meta: dict) -> tuple[OrderedDict[str, Tensor], list[str]]:
    """Convert weights of MMDetection 2.

    Args:
        weights: Weights by key.
        meta: Meta data of the checkpoint; its ``mmdet_version`` tells the order of RPN channels.

    Returns:
        Weights by the keys of MMDetection 3, and one line for each kind of change.

    Raises:
        UsageError: If there is no classifier that the tool knows, or two keys become one.
    """
    converted: OrderedDict[str, Tensor] = OrderedDict()
    changes: dict[str, None] = {}
    for key, value in weights.items():
        new = rename(key)
        if new in converted:
            raise UsageError(f'IN {NO_CHECKPOINT}: two of its weights would be called {new}')
        if new != key:
            changes[f'{key.rpartition(".")[0]} -> {new.rpartition(".")[0]}'] = None
        converted[new] = value
    if not any(f'{name}.weight' in converted for name in CLASSIFIERS):
        raise UsageError(
            f'IN {NO_CHECKPOINT}: it has none of the classifiers {", ".join(CLASSIFIERS)}'
        )
    if has_background_first(meta) and swap_rpn_channels(converted):
        changes['rpn_head.rpn_cls: foreground channel before background channel'] = None
    return converted, list(changes)


def build_model(path: str) -> nn.Module:
    """Build the detector of a config, without loading a backbone.

    Raises:
        UsageError: If the config cannot be read or its model cannot be built.
    """
    if not os.path.isfile(path):
        raise UsageError(f'--config: there is no file {path}')
    try:
        cfg = Config.fromfile(path)
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        return MODELS.build(cfg.model)
    except Exception as error:  # a config is code: anything may go wrong in it
        reason = ' '.join(str(error).split())[:200]
        raise UsageError(f'--config: {path} builds no model: {reason}') from None


def fit_to_model(weights: OrderedDict[str, Tensor], model: nn.Module, config: str) -> None:
    """Check that weights are those of a model; add the state of its losses, which start anew.

    Args:
        weights: Converted weights; changed in place.
        model: The model that is to load them.
        config: Name of its config, for the message.

    Raises:
        UsageError: If a weight is missing, left over, or has another shape.
    """
    expected = model.state_dict()
    for key, value in expected.items():
        if LOSS_STATE.search(key):
            weights.setdefault(key, value)
    shapes = [
        f'{key} is {tuple(weights[key].shape)}, not {tuple(expected[key].shape)}'
        for key in expected
        if key in weights and weights[key].shape != expected[key].shape
    ]
    kinds = {
        'missing': [key for key in expected if key not in weights],
        'unexpected': [key for key in weights if key not in expected],
        'of another shape': shapes,
    }
    found = [f'{len(keys)} {kind} ({_some(keys)})' for kind, keys in kinds.items() if keys]
    if found:
        raise UsageError(f'IN does not fit {config}: weights {"; ".join(found)}')
    # versions of the layers: a loader that finds none takes the file for an old one
    weights._metadata = expected._metadata


def _some(keys: list[str]) -> str:
    return ', '.join(keys[:2]) + (', ...' if len(keys) > 2 else '')


def new_meta(meta: dict) -> dict:
    """Return the meta data that MMDetection 3 reads: class names under ``dataset_meta``."""
    kept = {'converted_from': f'mmdet {meta.get("mmdet_version", "2, version unknown")}'}
    kept.update({key: meta[key] for key in ('epoch', 'iter') if isinstance(meta.get(key), int)})
    if meta.get('CLASSES'):
        kept['dataset_meta'] = {'classes': tuple(meta['CLASSES'])}
    return kept


def save(content: dict, path: Path) -> None:
    """Write a checkpoint; there is no half of it.

    Raises:
        UsageError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft, open(draft, 'wb') as file:
            torch.save(content, file)
    except OSError as error:
        raise UsageError(f'{path} cannot be written: {error.strerror}') from None


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__, prog='convert_published.py')
    parser.add_argument('source', metavar='IN.pth', help='checkpoint of MMDetection 2')
    parser.add_argument('target', metavar='OUT.pth', type=Path, help='checkpoint to write')
    parser.add_argument(
        '--config',
        metavar='CONFIG',
        help='config of the detector: check every key and shape against its model',
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Convert one file and say what was changed."""
    weights, meta = read_checkpoint(args.source)
    check_layout(weights, meta, args.source)
    converted, changes = convert(weights, meta)
    if args.config:
        fit_to_model(converted, build_model(args.config), args.config)
    save({'meta': new_meta(meta), 'state_dict': converted}, args.target)
    for line in changes or ['no weight had to be changed']:
        print(line)
    checked = f'all fit {args.config}' if args.config else 'not checked: no --config'
    print(f'{len(converted)} weights ({checked}): {args.target}')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    try:
        run(parse_args(argv))
    except UsageError as error:
        return fail('convert_published.py', error)
    return 0


if __name__ == '__main__':
    sys.exit(main())
