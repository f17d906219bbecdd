"""AP by faster-coco-eval and oLRP from its tables of IoUs, with the numbers of pycocotools."""

from __future__ import annotations

import copy

import numpy as np
from faster_coco_eval import COCOeval_faster
from pycocotools.cocoeval import COCOeval

from .coco_matching import needed_iou_thrs, warn_of_id_zero
from .flat_matching import FlatAnnotations, FlatMatches, FlatMatching, flat_annotations
from .lrp_curve import ClassMatches


class FasterLRPEval(COCOeval):
    """Drop-in for ``LRPEval``: C++ matches and accumulates for AP, NumPy matches for LRP.

    faster-coco-eval 1.8 keeps the matches of its C++ code to itself, so that those that LRP and
    calibration need are found again here, from the IoUs that it computed. ``eval`` is in the form
    of pycocotools, whose ``summarize`` is inherited.
    """

    tau: float = 0.5
    calibration: bool = False

    def evaluate(self) -> None:
        """Match and accumulate for AP, and prepare the matching for LRP."""
        params = self.params
        params.imgIds = list(np.unique(params.imgIds))
        params.catIds = list(np.unique(params.catIds))
        params.maxDets = sorted(params.maxDets)
        params.iouThrs = np.atleast_1d(np.asarray(params.iouThrs, dtype=float))
        warn_of_id_zero(self.cocoGt)
        gt = flat_annotations(self.cocoGt, params.imgIds, params.catIds)
        dt = flat_annotations(self.cocoDt, params.imgIds, params.catIds, params.maxDets[-1])
        num_gt = _counted_objects(gt, params.areaRng)
        most = int(num_gt.max(initial=1))
        powers = np.exp2(np.arange(1, -most.bit_length() - 1, -1))

        engine = COCOeval_faster(
            self.cocoGt, self.cocoDt, params.iouType, print_function=lambda *_: None
        )
        for name in ('imgIds', 'catIds', 'maxDets', 'areaRng', 'areaRngLbl', 'iouThrs', 'useCats'):
            setattr(engine.params, name, getattr(params, name))
        engine.params.recThrs = np.append(params.recThrs, powers)
        engine.evaluate()
        self.eval = _as_pycocotools(engine.eval, len(params.recThrs), num_gt)
        self._paramsEval = copy.deepcopy(params)

        images = {img_id: index for index, img_id in enumerate(params.imgIds)}
        classes = {cat_id: index for index, cat_id in enumerate(params.catIds)}
        tables = (
            (classes[cat_id] * len(images) + images[img_id], table)
            for (img_id, cat_id), table in engine.ious.items()
            if len(table)
        )
        self._flat = FlatMatching(gt, dt, tables)
        self._matches: dict[tuple[int, float], FlatMatches] = {}

    def accumulate(self, p: object | None = None) -> None:
        """Nothing is left to do: the C++ code accumulates in the same call as it matches.

        Args:
            p: None, or the evaluator's own parameters.

        Raises:
            ValueError: If ``p`` is anything else.
        """
        if p is not None and p is not self.params:
            raise ValueError('faster-coco-eval accumulates with the parameters of evaluate() only')
        self.eval['params'] = self.params

    def class_matches(
        self, class_index: int, area_index: int, iou_thr: float, max_dets: int
    ) -> ClassMatches:
        """Counted detections of one class in one area range; arguments as in ``LRPMatching``.

        Raises:
            ValueError: If ``iou_thr`` is none of :func:`~.coco_matching.needed_iou_thrs`.
        """
        if iou_thr not in needed_iou_thrs(self):
            known = ' and '.join(map(str, needed_iou_thrs(self)))
            raise ValueError(f'matches are kept at IoU {known}, not {iou_thr}')
        key = (area_index, iou_thr)
        if key not in self._matches:
            self._matches[key] = self._flat.match(iou_thr, self._paramsEval.areaRng[area_index])
        return self._flat.class_matches(self._matches[key], class_index, max_dets)


def _counted_objects(gt: FlatAnnotations, area_ranges: list) -> np.ndarray:
    """Objects that count, by class and area range; shape (num_classes, num_areas)."""
    classes = range((len(gt.starts) - 1) // max(gt.num_images, 1))
    counts = ~gt.is_crowd & [~gt.outside(area_range) for area_range in area_ranges]
    return np.array(
        [np.count_nonzero(counts[:, gt.of_class(index)], axis=1) for index in classes], dtype=int
    ).reshape(-1, len(area_ranges))


def _as_pycocotools(result: dict, num_recalls: int, num_gt: np.ndarray) -> dict:
    """The result of the C++ code, bit by bit as pycocotools would give it.

    pycocotools adds 2.2e-16 to the number of detections, which makes the precision of a single
    true positive one bit less than 1 and changes nothing from the second detection on. Which of
    the two a precision of 1 is, shows at the recall of the second true positive: among the powers
    of two behind the recalls that were asked for there is one in (1 / num_gt, 2 / num_gt].

    Args:
        result: Of the C++ code, evaluated at ``num_recalls`` recalls and at 2, 1, 1/2, 1/4...
        num_recalls: Number of recalls that were asked for.
        num_gt: Objects by class and area range, shape (num_classes, num_areas).
    """
    at_all = result['precision']  # [iou, recall, class, area, max_dets]
    precision = at_all[:, :num_recalls].copy()
    # the n-th power is 2^(1 - n), and n has to be log2(num_gt), rounded up
    index = num_recalls + np.frexp(np.maximum(num_gt, 1) - 1.0)[1]
    at_second = np.take_along_axis(at_all, index[None, None, :, :, None], axis=1)
    precision[(precision == 1.0) & (at_second < 1.0)] = 1.0 / (1.0 + np.spacing(1))
    counts = list(result['counts'])
    counts[1] = num_recalls
    scores = result['scores'][:, :num_recalls].copy()
    kept = {'recall': result['recall'], 'date': result['date'], 'counts': counts}
    return {**kept, 'precision': precision, 'scores': scores}
