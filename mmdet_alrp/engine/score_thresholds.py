"""Class-wise score thresholds at test time: those at which oLRP is reached, or any others."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .weight_checks import bare_detector

KNOWN_NAMES = 5  # class names that an error message lists


class ThresholdError(ValueError):
    """Thresholds that cannot be used; the message is one line for the user."""


def read_thresholds(source: str | os.PathLike | Mapping) -> dict[str, float | None]:
    """Read thresholds by class name.

    Args:
        source: A JSON file that ``tools/eval_lrp.py --json`` has written or that holds only its
            ``thresholds``, or the content of one. None (null) stands for a class without one.

    Raises:
        ThresholdError: If the file cannot be read or a value is not a score in [0, 1].
    """
    where = 'score thresholds' if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else _read_json(source)
    thresholds = content.get('thresholds', content) if isinstance(content, Mapping) else None
    if not isinstance(thresholds, Mapping) or not thresholds:
        raise ThresholdError(
            f'{where}: no thresholds by class name: write them with tools/eval_lrp.py --json'
        )
    for name, value in thresholds.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value <= 1):
            raise ThresholdError(
                f'{where}: the threshold of {name!r} must be a score in [0, 1] or null, '
                f'got {value!r}'
            )
    return dict(thresholds)


def _read_json(path: str | os.PathLike) -> object:
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except OSError as error:
        raise ThresholdError(f'{path}: cannot be read: {error.strerror}') from None
    except ValueError as error:  # of the decoder: no JSON, no UTF-8
        raise ThresholdError(f'{path}: is no JSON file: {" ".join(str(error).split())}') from None


def thresholds_of_labels(
    thresholds: Mapping[str, float | None], classes: Sequence[str]
) -> tuple[Tensor, list[str]]:
    """Put thresholds into the order of a detector's labels.

    A class without a threshold gets 0: nothing of it is dropped.

    Args:
        thresholds: Thresholds by class name, None for a class without one.
        classes: Class names in the order of the labels.

    Returns:
        Thresholds, shape (num_classes,), and the names of the classes without one.

    Raises:
        ThresholdError: If a name is not that of a class.
    """
    unknown = [name for name in thresholds if name not in classes]
    if unknown:
        names = ', '.join(classes[:KNOWN_NAMES]) + (', ...' if len(classes) > KNOWN_NAMES else '')
        raise ThresholdError(
            f'score thresholds for unknown classes: {", ".join(unknown[:KNOWN_NAMES])} '
            f'({len(unknown)} of {len(thresholds)}); the model detects {names}'
        )
    values = [thresholds.get(name) for name in classes]
    without = [name for name, value in zip(classes, values, strict=True) if value is None]
    return torch.tensor([0.0 if value is None else value for value in values]), without


def filter_by_score(
    model: nn.Module,
    thresholds: str | os.PathLike | Mapping,
    classes: Sequence[str] | None = None,
) -> RemovableHandle:
    """Let a detector drop what scores below the threshold of its class.

    Works with whatever calls the model: a test loop, ``inference_detector``, ``DetInferencer``.
    Losses are not affected. A score equal to its threshold is kept.

    Args:
        model: The detector, also wrapped for several processes or test-time augmentation (then
            the views are filtered before they are merged).
        thresholds: As :func:`read_thresholds` takes them.
        classes: Class names in the order of the labels; None takes ``model.dataset_meta``, which
            MMDetection's inference functions set.

    Returns:
        A handle; its ``remove()`` ends the filtering.

    Raises:
        ThresholdError: If thresholds and classes do not fit together.
    """
    if classes is None:
        classes = (getattr(model, 'dataset_meta', None) or {}).get('classes')
    if not classes:
        raise ThresholdError('score thresholds need class names: give classes=')
    values, without = thresholds_of_labels(read_thresholds(thresholds), tuple(classes))
    if without:
        print_log(
            f'no score threshold for {len(without)} of {len(classes)} classes, nothing of them '
            f'is dropped: {", ".join(without)}',
            logger='current',
            level=logging.WARNING,
        )

    def drop_low_scores(module: nn.Module, args: tuple, output: Any) -> None:
        # of the three modes only 'predict' returns a list of samples
        for sample in output if isinstance(output, list) else []:
            found = sample.pred_instances
            kept = found.scores >= values.to(found.scores)[found.labels]
            sample.pred_instances = found[kept]

    return bare_detector(model).register_forward_hook(drop_low_scores)


@HOOKS.register_module()
class ScoreThresholdHook(Hook):
    """Applies :func:`filter_by_score` while a runner tests; validation is not affected.

    Args:
        thresholds: As :func:`read_thresholds` takes them.
    """

    def __init__(self, thresholds: str | os.PathLike | Mapping) -> None:
        self.thresholds = read_thresholds(thresholds)

    def before_test(self, runner: Runner) -> None:
        """Start filtering, with the class names of the test data set."""
        classes = runner.test_dataloader.dataset.metainfo['classes']
        self._handle = filter_by_score(runner.model, self.thresholds, classes)

    def after_test(self, runner: Runner) -> None:
        """Stop filtering."""
        self._handle.remove()
