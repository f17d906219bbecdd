"""The registered metric: MMDetection's CocoMetric with oLRP from the same matching pass."""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCOevalMP
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import load
from mmengine.logging import MMLogger

from .backends import LRPEvaluator, lrp_evaluator
from .coco_matching import LRPMatching, check_tau, load_detections, silenced
from .json_files import write_json
from .lrp import LRPReport, report_of
from .proposal_recall import average_recall
from .report_text import class_table, summary_text

# Names of the parent's figures in the order of pycocotools' stats
STATS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
STATS += ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
DEFAULT_ITEMS = STATS[:6]


class LRPEvalMP(LRPMatching, COCOevalMP):
    """MMDetection's evaluator with several processes, with what LRP needs."""


@METRICS.register_module()
class CocoLRPMetric(CocoMetric):
    """COCO AP and oLRP with its components, oLRP by object size, and rho.

    The keys of ``CocoMetric`` keep their names and values, but are not rounded to three digits.
    Added for ``bbox`` and ``segm``: ``{metric}_oLRP``, ``_oLRP_Loc``, ``_oLRP_FP``, ``_oLRP_FN``,
    ``_oLRP_s``, ``_oLRP_m``, ``_oLRP_l``, ``_rho`` (lower is better but for rho; NaN where
    undefined), and with ``classwise`` one ``{metric}_{class}_oLRP`` a class and a table in the
    log. oLRP looks at the best 100 detections of an image, whatever ``proposal_nums`` are.
    Where the parent stops because nothing was detected, AP is 0 and oLRP 1 here.

    Args:
        *args: Positional arguments of MMDetection's ``CocoMetric``.
        tau: IoU at which a detection counts as a true positive for oLRP.
        thresholds_prefix: LRP-optimal score thresholds of the classes are written to
            ``{thresholds_prefix}.{metric}.thresholds.json``; ``outfile_prefix`` if not given,
            and nowhere if that is not given either.
        backend: What matches and accumulates: ``'pycocotools'``, or ``'faster_coco_eval'`` for
            the same numbers several times sooner (``pip install faster-coco-eval``).
        calibration: Whether to judge the scores as promises of IoU: adds ``{metric}_LaECE_0``,
            ``_LaACE_0`` and ``_D_ECE`` (lower is better), and with ``classwise`` the first two of
            each class, ``{metric}_{class}_LaECE_0`` and so on.
        **kwargs: Keyword arguments of ``CocoMetric``, such as ``ann_file`` and ``metric``.

    Raises:
        ValueError: If ``tau`` is not in (0, 1), ``backend`` is unknown, or faster-coco-eval is
            to run in several processes (``use_mp_eval``).
        ModuleNotFoundError: If faster-coco-eval is asked for and not installed.
        KeyError: If ``metric_items`` has an unknown name.

    Reference:
        :func:`mmdet_alrp.evaluation.evaluate_lrp` for the definitions.
    """

    default_prefix = 'coco'

    def __init__(
        self,
        *args: Any,
        tau: float = 0.5,
        thresholds_prefix: str | None = None,
        backend: str = 'pycocotools',
        calibration: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_tau(tau)
        self._evaluator_type = lrp_evaluator(backend)
        if self.use_mp_eval:
            if backend != 'pycocotools':
                raise ValueError(f'use_mp_eval is for pycocotools: leave it out with {backend}')
            self._evaluator_type = LRPEvalMP
        for item in self.metric_items or ():
            if item not in STATS:
                raise KeyError(f'metric item "{item}" is not supported; known: {", ".join(STATS)}')
        self.tau = tau
        self.calibration = calibration
        self.thresholds_prefix = thresholds_prefix or self.outfile_prefix
        # The parent collects, writes result files and judges proposals; these are left to us.
        self.lrp_metrics = [name for name in self.metrics if name in ('bbox', 'segm')]
        self.metrics = [name for name in self.metrics if name not in self.lrp_metrics]
        self._predictions: dict[str, list[dict]] = {}

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        """Write result files as the parent does, and read back what is to be evaluated.

        Args:
            results: Predictions, one an image.
            outfile_prefix: Beginning of the files' names.

        Returns:
            Paths of the files by the kind of result.

        Raises:
            KeyError: If the model predicts nothing of a kind that is to be measured.
        """
        files = super().results2json(results, outfile_prefix)
        if not self.format_only:
            for metric in self.lrp_metrics:
                if metric not in files:
                    raise KeyError(f'{metric} is not in results')
                # Read while it exists: without outfile_prefix the folder is a temporary one.
                self._predictions[metric] = load(files[metric])
        return files

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute AP and oLRP of all collected results.

        Args:
            results: Pairs of ground truth and prediction, one an image.

        Returns:
            The figures by their names without ``default_prefix``, unrounded.

        Raises:
            ValueError: If no image was evaluated and there is no ``ann_file`` either.
        """
        self._predictions = {metric: [] for metric in self.lrp_metrics}
        if results:
            eval_results = super().compute_metrics(results)
        elif self._coco_api is None:
            raise ValueError('no image was evaluated and there is no ann_file: nothing to measure')
        else:
            self.cat_ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta['classes'])
            self.img_ids = self._coco_api.get_img_ids()
            eval_results = OrderedDict()
        if not self.format_only:
            for metric in self.lrp_metrics:
                eval_results.update(self._evaluate(metric, self._predictions[metric]))
        self._predictions = {}
        return eval_results

    def fast_eval_recall(
        self,
        results: Sequence[dict],
        proposal_nums: Sequence[int],
        iou_thrs: np.ndarray,
        logger: MMLogger | None = None,
    ) -> np.ndarray:
        """Average recall of ``proposal_fast``; the parent's fails with NumPy 1.24 and later.

        Args:
            results: Predictions in the order of the collected images.
            proposal_nums: Numbers of proposals an image.
            iou_thrs: IoU thresholds.
            logger: Not needed, the caller prints the figures.

        Returns:
            Average recall for every entry of ``proposal_nums``.
        """
        gt_boxes, proposals = [], []
        for result in results:
            ann_ids = self._coco_api.get_ann_ids(img_ids=[result['img_id']])
            anns = self._coco_api.load_anns(ann_ids)
            counted = [a['bbox'] for a in anns if not a.get('ignore', False) and not a['iscrowd']]
            gt_boxes.append(np.array(counted, dtype=float).reshape(-1, 4))
            corners = result['bboxes'].reshape(-1, 4)
            proposals.append(np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]))
        return average_recall(gt_boxes, proposals, proposal_nums, np.asarray(iou_thrs))

    def _evaluate(self, metric: str, predictions: list[dict]) -> dict[str, float]:
        logger = MMLogger.get_current_instance()
        logger.info(f'Evaluating {metric}...')
        if not predictions:
            logger.warning('Nothing was detected in the whole data set.')
        evaluator = self._build_evaluator(metric, predictions)
        with silenced():
            evaluator.evaluate()
            evaluator.accumulate()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            evaluator.summarize()
        report = report_of(evaluator)
        logger.info(f'\n{printed.getvalue()}\n{summary_text(report)}')

        stats = dict(zip(STATS, map(float, evaluator.stats), strict=True))
        figures = {f'{metric}_{item}': stats[item] for item in self.metric_items or DEFAULT_ITEMS}
        errors = report.calibration.summary() if report.calibration else {}
        ours = {**report.lrp(), **errors}
        figures.update({f'{metric}_{name}': value for name, value in ours.items()})
        if self.classwise:
            logger.info(f'\n{class_table(report)}')
            figures.update(_class_figures(metric, report))
        copypaste = ' '.join(f'{stats[item]:.3f}' for item in DEFAULT_ITEMS)
        logger.info(f'{metric}_mAP_copypaste: {copypaste}')
        if self.thresholds_prefix is not None:
            path = f'{self.thresholds_prefix}.{metric}.thresholds.json'
            write_json(path, report.thresholds())
            logger.info(f'LRP-optimal score thresholds are saved in {path}')
        return figures

    def _build_evaluator(self, metric: str, predictions: list[dict]) -> LRPEvaluator:
        self._coco_api.dataset.setdefault('annotations', [])  # the parent omits an empty list
        coco_dt = load_detections(self._coco_api, predictions, metric)
        evaluator = self._evaluator_type(self._coco_api, coco_dt, metric)
        evaluator.tau = self.tau
        evaluator.calibration = self.calibration
        evaluator.params.catIds = self.cat_ids
        evaluator.params.imgIds = self.img_ids
        evaluator.params.maxDets = list(self.proposal_nums)
        evaluator.params.iouThrs = np.atleast_1d(self.iou_thrs)
        return evaluator


def _class_figures(metric: str, report: LRPReport) -> dict[str, float]:
    """AP under the parent's name, which does not tell bbox from segm, oLRP and calibration."""
    figures = {}
    for c in report.classes:
        figures[f'{c.name}_precision'] = c.ap
        figures[f'{metric}_{c.name}_oLRP'] = c.best.olrp
    for errors in report.calibration.classes if report.calibration else ():
        figures[f'{metric}_{errors.name}_LaECE_0'] = errors.laece
        figures[f'{metric}_{errors.name}_LaACE_0'] = errors.laace
    return figures
