"""Calibrated scores at test time: what a detector promises is the IoU that is to be expected."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from mmdet_alrp.calibration import Calibration, CalibrationError, read_calibration
from mmdet_alrp.calibration.score_map import ScoreMap

from .score_thresholds import KNOWN_NAMES, names_of_labels, samples_of
from .wrapped_models import bare_detector

NAME = 'score_map'  # of the module in the detector
MARGIN = 1e-5  # below a threshold, for what single precision rounds


class CalibratedScores:
    """Handle of :func:`calibrate_scores`; ``remove()`` gives the detector its own scores back."""

    def __init__(self, detector: nn.Module, score_map: ScoreMap) -> None:
        self._detector = detector
        device = next((weight.device for weight in detector.parameters()), None)
        detector.add_module(NAME, score_map.to(device))
        # The thresholds that the heads apply, each settings object once
        settings = {
            id(part.test_cfg): part.test_cfg
            for part in detector.modules()
            if getattr(part, 'test_cfg', None) and 'score_thr' in part.test_cfg
        }
        self._settings = [(each, each['score_thr']) for each in settings.values()]
        for each, threshold in self._settings:
            each['score_thr'] = max(score_map.lowest_score(threshold) - MARGIN, 0.0)
        self.threshold = max((threshold for _, threshold in self._settings), default=0.0)
        # before any other hook on the output, such as thresholds by class
        self._hook = detector.register_forward_hook(self._map_scores, prepend=True)

    def _map_scores(self, module: nn.Module, args: tuple, output: Any) -> None:
        for sample in samples_of(output):
            found = sample.pred_instances
            found.scores = getattr(module, NAME)(found.scores, found.labels)
            sample.pred_instances = found[found.scores >= self.threshold]

    def remove(self) -> None:
        """End the calibration."""
        self._hook.remove()
        for each, threshold in self._settings:
            each['score_thr'] = threshold
        delattr(self._detector, NAME)


def calibrate_scores(
    model: nn.Module,
    calibration: str | os.PathLike | Calibration,
    classes: Sequence[str] | None = None,
    cat_ids: Sequence[int] | None = None,
) -> CalibratedScores:
    """Make a detector report the expected IoU of each box as its score.

    Works with whatever calls the model: a test loop, ``inference_detector``, ``DetInferencer``.
    The maps become the module ``score_map`` of the detector, with two tensors in its
    ``state_dict``. The ``score_thr`` of the config now means calibrated scores. Losses are not
    affected, and the order of detections inside a class stays.

    Args:
        model: The detector with its weights, also wrapped for several processes or test-time
            augmentation (then the views are calibrated before they are merged).
        calibration: What ``tools/calibrate.py`` has fitted: its file, or the content of one.
        classes: Class names in the order of the labels; None takes ``model.dataset_meta``, which
            MMDetection's inference functions set.
        cat_ids: COCO ids of the classes; they matter only to classes of one name.

    Returns:
        A handle; its ``remove()`` ends the calibration.

    Raises:
        CalibrationError: If it is that of other classes, or cannot be read.
        ValueError: If the model is calibrated already.
    """
    if classes is None:
        classes = (getattr(model, 'dataset_meta', None) or {}).get('classes')
    if not classes:
        raise CalibrationError('a calibration needs class names: give classes=')
    if not isinstance(calibration, Calibration):
        calibration = read_calibration(calibration)
    detector = bare_detector(model)
    if hasattr(detector, NAME):
        raise ValueError('the scores of this model are calibrated already')
    return CalibratedScores(detector, score_map_of_labels(calibration, tuple(classes), cat_ids))


def score_map_of_labels(
    calibration: Calibration, classes: Sequence[str], cat_ids: Sequence[int] | None = None
) -> ScoreMap:
    """Put the maps of a calibration into the order of a detector's labels.

    A class without a map of its own gets that of all classes; a warning names those that were not
    in the data it was fitted to.

    Args:
        calibration: The maps by class name.
        classes: Class names in the order of the labels.
        cat_ids: Their COCO ids, where two classes may have one name.

    Raises:
        CalibrationError: If it has maps for classes that the detector does not know.
    """
    names, unknown = names_of_labels(calibration.classes, classes, cat_ids)
    if unknown:
        raise CalibrationError(
            f'calibration of other classes: {", ".join(unknown[:KNOWN_NAMES])} ({len(unknown)} of '
            f'{len(calibration.classes)}); the model detects {", ".join(classes[:KNOWN_NAMES])}'
        )
    unseen = [name for name in names if name not in calibration.classes]
    if unseen:
        print_log(
            f'no calibration of {len(unseen)} of {len(classes)} classes, they get the map of all '
            f'classes: {", ".join(unseen)}',
            logger='current',
            level=logging.WARNING,
        )
    return ScoreMap([calibration.knots_of(name) for name in names])


@HOOKS.register_module()
class ScoreCalibrationHook(Hook):
    """Calibrates the scores of a detector while a runner tests; validation is not affected.

    A ``ScoreThresholdHook`` beside it, before or after, gets the calibrated scores.

    Args:
        calibration: The file that ``tools/calibrate.py`` has written.
    """

    def __init__(self, calibration: str | os.PathLike) -> None:
        self.calibration = read_calibration(calibration)

    def before_test(self, runner: Runner) -> None:
        """Start calibrating, with the class names of the test data set."""
        dataset = runner.test_dataloader.dataset
        self._handle = calibrate_scores(
            runner.model,
            self.calibration,
            dataset.metainfo['classes'],
            getattr(dataset, 'cat_ids', None),
        )

    def after_test(self, runner: Runner) -> None:
        """Stop calibrating."""
        self._handle.remove()
