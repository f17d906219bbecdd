"""COCO matching that also keeps the IoU of every match, for AP and LRP from one pass."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .lrp_curve import ClassMatches

RHO_IOU = 0.5  # the correlation of scores and IoUs is defined on true positives at this IoU
ANY_IOU = 0.0  # scores are calibrated to the IoU with the object, however small


class LRPMatching:
    """Mixin for pycocotools' ``COCOeval`` and its descendants.

    IoU thresholds that LRP needs but AP does not have are matched in the same pass and cut off
    again after ``accumulate``, so that AP is what it would be without this class.
    """

    tau: float = 0.5
    calibration: bool = False

    def evaluate(self) -> None:
        """Match detections and ground truth; see pycocotools."""
        self._ap_iou_thrs = np.atleast_1d(np.asarray(self.params.iouThrs, dtype=float))
        needed = needed_iou_thrs(self)
        extra = [thr for thr in needed if thr not in self._ap_iou_thrs]
        self._all_iou_thrs = np.append(self._ap_iou_thrs, extra)
        self._rows = [int(np.flatnonzero(self._all_iou_thrs == thr)[0]) for thr in needed]
        self._needed = needed
        warn_of_id_zero(self.cocoGt)
        self.params.iouThrs = self._all_iou_thrs
        super().evaluate()

    def evaluateImg(  # noqa: N802 - overrides pycocotools
        self, img_id: int, cat_id: int, area_range: Sequence[float], max_det: int
    ) -> dict | None:
        """Match one class in one image; adds ``dtIous``, one row for each IoU that LRP needs."""
        found = super().evaluateImg(img_id, cat_id, area_range, max_det)
        if found is not None and self.params.useCats:
            found['dtIous'] = self._matched_ious(found, (img_id, cat_id))
        return found

    def _matched_ious(self, found: dict, key: tuple[int, int]) -> np.ndarray:
        matched = found['dtMatches'][self._rows]
        ious = np.zeros(matched.shape)
        if matched.any():
            # A table has the detections by score and the ground truth in its own order, not in
            # that of gtIds. The evaluator with several processes does not keep the tables.
            table = self.ious[key] if key in self.ious else self.computeIoU(*key)
            columns = {gt['id']: column for column, gt in enumerate(self._gts[key])}
            for row, rank in zip(*np.nonzero(matched), strict=True):
                ious[row, rank] = table[rank][columns[matched[row, rank]]]
        return ious

    def accumulate(self, p: object | None = None) -> None:
        """Accumulate AP over the thresholds that were asked for; see pycocotools."""
        self.params.iouThrs = self._all_iou_thrs
        super().accumulate(p)
        self.params.iouThrs = self._ap_iou_thrs
        num_thrs = len(self._ap_iou_thrs)
        self.eval['counts'][0] = num_thrs
        for name in ('precision', 'recall', 'scores'):
            self.eval[name] = self.eval[name][:num_thrs]

    def class_matches(
        self, class_index: int, area_index: int, iou_thr: float, max_dets: int
    ) -> ClassMatches:
        """Counted detections of one class in one area range, over all images.

        Args:
            class_index: Index in ``params.catIds``.
            area_index: Index in ``params.areaRng``.
            iou_thr: One of :func:`needed_iou_thrs`.
            max_dets: Detections of an image beyond this many best ones do not exist.
        """
        num_images = len(self._paramsEval.imgIds)
        start = (class_index * len(self._paramsEval.areaRng) + area_index) * num_images
        found = [e for e in self.evalImgs[start : start + num_images] if e is not None]
        if not found:
            none = np.zeros(0)
            return ClassMatches(none, none.astype(bool), none, none.astype(int), 0)
        needed = self._needed.index(iou_thr)
        row = self._rows[needed]
        keep = slice(max_dets)
        counted = ~np.concatenate([e['dtIgnore'][row, keep] for e in found])
        scores = np.concatenate([e['dtScores'][keep] for e in found])[counted]
        order = np.argsort(-scores, kind='stable')

        def in_order(parts: list) -> np.ndarray:
            return np.concatenate(parts)[counted][order]

        is_tp = in_order([e['dtMatches'][row, keep] for e in found]) != 0
        ious = in_order([e['dtIous'][needed, keep] for e in found])
        ids = in_order([np.asarray(e['dtIds'][keep], dtype=int) for e in found])
        num_gt = sum(len(e['gtIgnore']) - np.count_nonzero(e['gtIgnore']) for e in found)
        return ClassMatches(scores[order], is_tp, ious, ids, num_gt)


class LRPEval(LRPMatching, COCOeval):
    """pycocotools' evaluator with what LRP needs."""


def needed_iou_thrs(evaluator: LRPMatching) -> list[float]:
    """IoU thresholds that reports of an evaluator need, each once.

    Args:
        evaluator: One of any backend, with its ``tau`` and ``calibration``.
    """
    more = (ANY_IOU,) if evaluator.calibration else ()
    return list(dict.fromkeys((evaluator.tau, RHO_IOU, *more)))


def check_tau(tau: float) -> None:
    """Raise ``ValueError`` unless ``tau`` is an IoU threshold in (0, 1)."""
    if not 0.0 < tau < 1.0:
        raise ValueError(f'tau must be an IoU threshold between 0 and 1 (exclusive), got {tau}')


def warn_of_id_zero(coco_gt: COCO) -> None:
    """Warn of the annotation id that COCO matching cannot tell from no match."""
    if 0 in coco_gt.anns:
        warnings.warn(
            'a ground truth annotation has id 0, which COCO matching reads as "no match": '
            'number annotations from 1',
            stacklevel=3,
        )


def index_coco(dataset: dict) -> COCO:
    """COCO object of a data set that is already in memory, without pycocotools' printing.

    Args:
        dataset: Content of an annotation file; it is kept, not copied.
    """
    coco = COCO()
    coco.dataset = dataset
    with silenced():
        coco.createIndex()
    return coco


def subset_of(coco: COCO, img_ids: Sequence[int]) -> COCO:
    """COCO object of a part of the images.

    Args:
        coco: Ground truth or detections.
        img_ids: Images to keep.
    """
    kept = set(img_ids)
    images = [image for image in coco.dataset['images'] if image['id'] in kept]
    annotations = [ann for ann in coco.dataset['annotations'] if ann['image_id'] in kept]
    return index_coco({**coco.dataset, 'images': images, 'annotations': annotations})


def load_detections(coco_gt: COCO, detections: list[dict], iou_type: str) -> COCO:
    """COCO object of a list of detections; unlike ``loadRes`` it takes an empty list.

    Args:
        coco_gt: Ground truth.
        detections: Detections in COCO's result format; they are not changed.
        iou_type: ``'bbox'`` or ``'segm'``; for masks the area is that of the mask, never that of
            a box that comes with it.
    """
    if not detections:
        shared = {key: coco_gt.dataset.get(key, []) for key in ('images', 'categories')}
        return index_coco({**shared, 'annotations': []})
    unused = 'bbox' if iou_type == 'segm' else None
    copies = [{key: det[key] for key in det if key != unused} for det in detections]
    with silenced():
        return coco_gt.loadRes(copies)


def silenced() -> contextlib.AbstractContextManager:
    """Context in which pycocotools' progress lines are swallowed."""
    return contextlib.redirect_stdout(io.StringIO())
