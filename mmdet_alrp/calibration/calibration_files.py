"""Files of calibrations: knots by class in JSON, written whole."""

from __future__ import annotations

import os

import numpy as np

from mmdet_alrp.evaluation.json_files import read_json, write_json

from .calibrators import Knots
from .fitting import Calibration, CalibrationError, ClassMap

FORMAT = 'mmdet_alrp calibration'
VERSION = 1
DECIMALS = 9  # of a knot: finer than single precision


def write_calibration(path: str | os.PathLike, calibration: Calibration) -> None:
    """Write a calibration to a temporary name, then rename it.

    ``thresholds`` in the file are those of calibrated scores, so that
    :func:`~mmdet_alrp.evaluation.threshold_files.read_thresholds` takes the file, too.

    Args:
        path: The file; its folder is made if need be.
        calibration: What to write.

    Raises:
        OSError: If the file cannot be written; it is then as before.
    """
    classes = calibration.classes
    write_json(
        path,
        {
            'format': FORMAT,
            'version': VERSION,
            'method': calibration.method,
            'iou_type': calibration.iou_type,
            'errors': calibration.errors,
            'raw_thresholds': {name: c.raw_threshold for name, c in classes.items()},
            'thresholds': {name: c.threshold for name, c in classes.items()},
            'detections': {name: c.num_detections for name, c in classes.items()},
            'all_classes': _as_lists(calibration.shared),
            'classes': {name: c.knots and _as_lists(c.knots) for name, c in classes.items()},
        },
    )


def read_calibration(path: str | os.PathLike) -> Calibration:
    """Read what :func:`write_calibration` has written.

    Args:
        path: The file.

    Raises:
        CalibrationError: If it cannot be read, is of another kind or a later version, or holds
            maps that fall or leave [0, 1].
    """
    content = read_json(path, CalibrationError)
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise CalibrationError(f'{path}: no calibration: write one with tools/calibrate.py')
    if content.get('version') != VERSION:
        raise CalibrationError(
            f'{path}: version {content.get("version")!r} of the format, this package reads '
            f'{VERSION}: fit it again with tools/calibrate.py'
        )
    try:
        maps = {
            name: ClassMap(
                content['detections'][name],
                knots and _as_knots(knots),
                content['raw_thresholds'][name],
                content['thresholds'][name],
            )
            for name, knots in content['classes'].items()
        }
        shared = _as_knots(content['all_classes'])
        method, iou_type = content['method'], content['iou_type']
        return Calibration(method, iou_type, shared, maps, content['errors'])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalibrationError(
            f'{path}: damaged ({type(error).__name__}: {error}): fit it again with '
            'tools/calibrate.py'
        ) from None


def _as_lists(knots: Knots) -> dict[str, list[float]]:
    return {
        'scores': knots.scores.round(DECIMALS).tolist(),
        'ious': knots.ious.round(DECIMALS).tolist(),
    }


def _as_knots(content: dict) -> Knots:
    scores, ious = (np.array(content[name], dtype=float) for name in ('scores', 'ious'))
    for name, values in (('scores', scores), ('ious', ious)):
        inside = np.all((values >= 0) & (values <= 1))
        if values.ndim != 1 or len(values) < 2 or not inside or np.any(np.diff(values) < 0):
            raise ValueError(f'{name} must be two or more numbers in [0, 1] that never fall')
    if len(scores) != len(ious):
        raise ValueError('scores and ious must be as many')
    return Knots(scores, ious)
