"""Class-wise score thresholds at test time: those at which oLRP is reached, or any others."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdet_alrp.evaluation.threshold_files import (
    ThresholdError,
    read_thresholds,
    thresholds_in_order,
    unique_names,
)

from .wrapped_models import bare_detector

KNOWN_NAMES = 5  # class names that an error message lists


def thresholds_of_labels(
    thresholds: Mapping[str, float | None],
    classes: Sequence[str],
    cat_ids: Sequence[int] | None = None,
) -> tuple[Tensor, list[str]]:
    """Put thresholds into the order of a detector's labels.

    A class without a threshold gets 0: nothing of it is dropped. Classes of one name are called
    ``name (id)`` by reports; the name alone stands for all of them.

    Args:
        thresholds: Thresholds by class name, None for a class without one.
        classes: Class names in the order of the labels.
        cat_ids: Their COCO ids. Without one for each, labels of one name follow the ids that the
            thresholds name, if they name as many.

    Returns:
        Thresholds, shape (num_classes,), and the names of the classes without one.

    Raises:
        ThresholdError: If a name is not that of a class.
    """
    unique, unknown = names_of_labels(thresholds, classes, cat_ids)
    if unknown:
        names = ', '.join(classes[:KNOWN_NAMES]) + (', ...' if len(classes) > KNOWN_NAMES else '')
        raise ThresholdError(
            f'score thresholds for unknown classes: {", ".join(unknown[:KNOWN_NAMES])} '
            f'({len(unknown)} of {len(thresholds)}); the model detects {names}'
        )
    values = thresholds_in_order(thresholds, classes, unique)
    without = [name for name, value in zip(unique, values, strict=True) if value is None]
    return torch.tensor([0.0 if value is None else value for value in values]), without


def names_of_labels(
    given: Iterable[str], classes: Sequence[str], cat_ids: Sequence[int] | None = None
) -> tuple[list[str], list[str]]:
    """Return the names that reports give the classes of a detector, and which names fit none.

    Args:
        given: Names in a file of thresholds or maps.
        classes: Class names in the order of the labels.
        cat_ids: Their COCO ids. Without one for each, labels of one name follow the ids that the
            given names end with, if there are as many.
    """
    if cat_ids is not None and len(cat_ids) == len(classes):
        unique = unique_names(classes, cat_ids)
    else:
        unique = _names_by_rising_ids(given, classes)
    known = {*classes, *unique}
    return unique, [name for name in given if name not in known]


def _names_by_rising_ids(thresholds: Iterable[str], classes: Sequence[str]) -> list[str]:
    names = list(classes)
    for twin in {name for name in classes if classes.count(name) > 1}:
        pattern = re.compile(re.escape(twin) + r' \((-?\d+)\)')
        ids = sorted(int(match[1]) for name in thresholds if (match := pattern.fullmatch(name)))
        labels = [label for label, name in enumerate(classes) if name == twin]
        if len(ids) == len(labels):
            for label, cat_id in zip(labels, ids, strict=True):
                names[label] = f'{twin} ({cat_id})'
    return names


def filter_by_score(
    model: nn.Module,
    thresholds: str | os.PathLike | Mapping,
    classes: Sequence[str] | None = None,
    cat_ids: Sequence[int] | None = None,
) -> RemovableHandle:
    """Make a detector drop detections that score below the threshold of their class.

    Works with whatever calls the model: a test loop, ``inference_detector``, ``DetInferencer``.
    Losses are not affected. A score equal to its threshold is kept.

    Args:
        model: The detector, also wrapped for several processes or test-time augmentation (then
            the views are filtered before they are merged).
        thresholds: A JSON file that ``tools/eval_lrp.py --json`` has written or that holds only its
            ``thresholds``, or the content of one: scores by class name, None for a class without
            a threshold.
        classes: Class names in the order of the labels; None takes ``model.dataset_meta``, which
            MMDetection's inference functions set.
        cat_ids: COCO ids of the classes; needed only to tell classes of one name apart.

    Returns:
        A handle; its ``remove()`` ends the filtering.

    Raises:
        ThresholdError: If thresholds and classes do not fit together.
    """
    if classes is None:
        classes = (getattr(model, 'dataset_meta', None) or {}).get('classes')
    if not classes:
        raise ThresholdError('score thresholds need class names: give classes=')
    values, without = thresholds_of_labels(read_thresholds(thresholds), tuple(classes), cat_ids)
    if without:
        print_log(
            f'no score threshold for {len(without)} of {len(classes)} classes, nothing of them '
            f'is dropped: {", ".join(without)}',
            logger='current',
            level=logging.WARNING,
        )

    def drop_low_scores(module: nn.Module, args: tuple, output: Any) -> None:
        for sample in samples_of(output):
            found = sample.pred_instances
            kept = found.scores >= values.to(found.scores)[found.labels]
            sample.pred_instances = found[kept]

    return bare_detector(model).register_forward_hook(drop_low_scores)


def samples_of(output: Any) -> list[DetDataSample]:
    """Return the predicted samples in a detector's output; none of modes other than 'predict'.

    Args:
        output: In mode 'predict' a list, and for a view of test-time augmentation a tuple.
    """
    several = output if isinstance(output, list | tuple) else []
    return [each for each in several if isinstance(each, DetDataSample)]


@HOOKS.register_module()
class ScoreThresholdHook(Hook):
    """Drops detections below the score threshold of their class while a runner tests.

    Validation is not affected. See :func:`filter_by_score`.

    Args:
        thresholds: A JSON file that ``tools/eval_lrp.py --json`` has written or that holds only its
            ``thresholds``, or the content of one: scores by class name, None for a class without
            a threshold.
    """

    def __init__(self, thresholds: str | os.PathLike | Mapping) -> None:
        self.thresholds = read_thresholds(thresholds)

    def before_test(self, runner: Runner) -> None:
        """Start filtering, with the class names of the test data set."""
        dataset = runner.test_dataloader.dataset
        self._handle = filter_by_score(
            runner.model,
            self.thresholds,
            dataset.metainfo['classes'],
            getattr(dataset, 'cat_ids', None),
        )

    def after_test(self, runner: Runner) -> None:
        """Stop filtering."""
        self._handle.remove()
