"""oLRP beside COCO's AP for one pair of ground truth and detections.

Needs NumPy and pycocotools only. Averages run over the classes that have ground truth in the area
range; one without any true positive counts 1 for oLRP and FN and is left out of Loc and FP.

Reference:
    Oksuz et al., ECCV 2018, arXiv:1807.01696; TPAMI 2021, arXiv:2011.10772 (LRP and oLRP). The
    correlation rho: Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO

from .backends import LRPEvaluator, lrp_evaluator
from .calibration_report import CalibrationReport, calibration_report
from .coco_matching import ANY_IOU, RHO_IOU, check_tau, silenced
from .lrp_curve import LRPCurve, OptimalLRP, lrp_curve, optimal_lrp, rank_correlation
from .matched_classes import MatchedClass
from .threshold_files import unique_names

MAX_DETS = 100  # COCO's limit of detections an image
UNDEFINED = OptimalLRP(np.nan, np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class ClassReport:
    """AP and oLRP figures of one class; fractions in [0, 1], NaN where undefined.

    Args:
        name: Class name, unique within a report.
        cat_id: COCO id of the category.
        num_gt: Ground truth objects that are not ignored.
        ap: COCO AP, the mean over the IoU thresholds 0.5, 0.55 ... 0.95.
        ap50: AP at IoU 0.5.
        ap75: AP at IoU 0.75.
        best: Optimal LRP and its components.
        olrp_by_area: oLRP for small, medium and large objects.
        rho: Correlation between the rankings by score and by IoU.
        curve: LRP at every threshold; None without ground truth.
    """

    name: str
    cat_id: int
    num_gt: int
    ap: float
    ap50: float
    ap75: float
    best: OptimalLRP
    olrp_by_area: tuple[float, float, float]
    rho: float
    curve: LRPCurve | None


@dataclass(frozen=True)
class LRPReport:
    """AP and oLRP of an evaluation, by class and over all classes.

    Args:
        tau: IoU threshold of a true positive.
        ap: COCO's AP figures by name (``AP``, ``AP50``, ``AP75``, ``AP_s``, ``AP_m``, ``AP_l``).
        classes: One report a class, in the order of the category ids.
        calibration: Calibration of the detections above their LRP-optimal thresholds at tau = 0;
            None where it was not asked for.
    """

    tau: float
    ap: dict[str, float]
    classes: tuple[ClassReport, ...]
    calibration: CalibrationReport | None = None

    def lrp(self) -> dict[str, float]:
        """Return oLRP, its components, its values by size and rho, averaged over classes."""
        best = [c.best for c in self.classes]
        by_area = list(zip(*(c.olrp_by_area for c in self.classes), strict=True)) or [(), (), ()]
        return {
            'oLRP': _mean([b.olrp for b in best]),
            'oLRP_Loc': _mean([b.loc for b in best]),
            'oLRP_FP': _mean([b.fp for b in best]),
            'oLRP_FN': _mean([b.fn for b in best]),
            'oLRP_s': _mean(by_area[0]),
            'oLRP_m': _mean(by_area[1]),
            'oLRP_l': _mean(by_area[2]),
            'rho': _mean([c.rho for c in self.classes]),
        }

    def summary(self) -> dict[str, float]:
        """AP and oLRP figures together, and the errors of calibration if it was asked for."""
        errors = self.calibration.summary() if self.calibration else {}
        return {**self.ap, **self.lrp(), **errors}

    def thresholds(self) -> dict[str, float | None]:
        """LRP-optimal score threshold by class name; None for a class without true positives."""
        best = {c.name: c.best.threshold for c in self.classes}
        return {name: None if np.isnan(score) else score for name, score in best.items()}


def evaluate_lrp(
    coco_gt: COCO,
    coco_dt: COCO,
    iou_type: str = 'bbox',
    tau: float = 0.5,
    backend: str = 'pycocotools',
    calibration: bool = False,
) -> LRPReport:
    """Evaluate AP and oLRP from one COCO matching pass, and calibration if asked for.

    Args:
        coco_gt: Ground truth.
        coco_dt: Detections, see :func:`~.coco_matching.load_detections`.
        iou_type: ``'bbox'`` or ``'segm'``.
        tau: IoU at which a detection counts as a true positive for oLRP.
        backend: ``'pycocotools'`` or ``'faster_coco_eval'``: the same numbers, sooner.
        calibration: Whether to judge the scores as promises of IoU, too.

    Returns:
        Figures of the whole set and of each class, unrounded.

    Raises:
        ValueError: If ``tau`` is not in (0, 1), ``iou_type`` or ``backend`` is unknown, or a
            score is outside [0, 1] and ``calibration`` is asked for.
        ModuleNotFoundError: If faster-coco-eval is asked for and not installed.
    """
    check_tau(tau)
    if iou_type not in ('bbox', 'segm'):
        raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")
    evaluator = lrp_evaluator(backend)(coco_gt, coco_dt, iou_type)
    evaluator.tau = tau
    evaluator.calibration = calibration
    evaluator.params.maxDets = [MAX_DETS]  # recall at 1 and 10 detections is not reported
    with silenced():
        evaluator.evaluate()
        evaluator.accumulate()
    return report_of(evaluator)


def report_of(evaluator: LRPEvaluator) -> LRPReport:
    """Report of an evaluator on which ``evaluate`` and ``accumulate`` have run.

    Args:
        evaluator: It must have matched at its ``tau``, and in COCO's four area ranges. AP is for
            100 detections an image, or for its last limit where 100 is none of them.
    """
    # [iou, recall, class, area, max_dets]; -1 marks a class without ground truth
    limits = list(evaluator.params.maxDets)
    column = limits.index(MAX_DETS) if MAX_DETS in limits else -1
    precision = evaluator.eval['precision'][..., column]
    precision = np.where(precision > -1, precision, np.nan)
    iou_thrs = evaluator.params.iouThrs
    at_50, at_75 = (np.isclose(iou_thrs, thr) for thr in (0.5, 0.75))
    ap = {
        'AP': _mean(precision[..., 0]),
        'AP50': _mean(precision[at_50, ..., 0]),
        'AP75': _mean(precision[at_75, ..., 0]),
        'AP_s': _mean(precision[..., 1]),
        'AP_m': _mean(precision[..., 2]),
        'AP_l': _mean(precision[..., 3]),
    }
    cat_ids = [int(cat_id) for cat_id in evaluator.params.catIds]
    classes = []
    for index, (cat_id, name) in enumerate(zip(cat_ids, _class_names(evaluator), strict=True)):
        of_class = precision[:, :, index, 0]
        class_ap = (_mean(of_class), _mean(of_class[at_50]), _mean(of_class[at_75]))
        classes.append(_class_report(evaluator, index, name, cat_id, class_ap))
    calibration = None
    if evaluator.calibration:
        matched = matched_classes(evaluator)
        calibration = calibration_report([c.above(c.optimal_threshold()) for c in matched])
    return LRPReport(evaluator.tau, ap, tuple(classes), calibration)


def matched_classes(evaluator: LRPEvaluator) -> list[MatchedClass]:
    """Return every class with the IoUs of its detections, in the order of the category ids.

    Args:
        evaluator: One on which ``evaluate`` has run with ``calibration``.
    """
    return [
        MatchedClass(
            name,
            evaluator.class_matches(index, 0, ANY_IOU, MAX_DETS),
            evaluator.class_matches(index, 0, RHO_IOU, MAX_DETS),
        )
        for index, name in enumerate(_class_names(evaluator))
    ]


def _class_names(evaluator: LRPEvaluator) -> list[str]:
    cat_ids = [int(cat_id) for cat_id in evaluator.params.catIds]
    names = [str(evaluator.cocoGt.cats[cat_id]['name']) for cat_id in cat_ids]
    return unique_names(names, cat_ids)


def _class_report(
    evaluator: LRPEvaluator, index: int, name: str, cat_id: int, ap: tuple[float, float, float]
) -> ClassReport:
    tau = evaluator.tau
    curves = []
    for area_index in range(len(evaluator.params.areaRng)):
        matches = evaluator.class_matches(index, area_index, tau, MAX_DETS)
        curves.append(lrp_curve(matches, tau) if matches.num_gt else None)
    best = [optimal_lrp(curve) if curve else UNDEFINED for curve in curves]
    matches = evaluator.class_matches(index, 0, RHO_IOU, MAX_DETS)
    rho = rank_correlation(matches.scores[matches.is_tp], matches.ious[matches.is_tp])
    olrp_by_area = (best[1].olrp, best[2].olrp, best[3].olrp)
    return ClassReport(name, cat_id, matches.num_gt, *ap, best[0], olrp_by_area, rho, curves[0])


def _mean(values: np.ndarray | list | tuple) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float('nan')
