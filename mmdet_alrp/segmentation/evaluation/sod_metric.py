"""The registered form of the saliency metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.registry import METRICS
from torch import Tensor
from torch.nn.functional import interpolate

from .region import check_labels
from .saliency import (
    Scores,
    average_scores,
    check_pysodmetrics,
    saliency_metrics,
    saliency_scores,
)
from .samples import read_map
from .sod_curves import curves_of, save_curve_plots, save_curves

SLACK = 1e-3  # what averaging and resizing in low precision may add to a probability


@METRICS.register_module(force=True)
class SODMetric(BaseMetric):
    """Max, mean and adaptive F and E, MAE, S-measure and weighted F of saliency maps.

    Reads MMSegmentation's ``seg_logits``: one channel must hold probabilities, as MMSegmentation
    leaves them for heads of one channel; of two channels of logits the softmax of the second is
    taken. Targets are 1 where something is salient, 0 elsewhere, or ``ignore_index``. An image's
    result is four curves of 256 numbers and five figures.

    Args:
        beta2: Weight of recall in F, beta squared.
        ignore_index: Target of pixels that do not count; None counts all.
        stretch: Whether each map is stretched to [0, 1], as for published figures.
        resize: Whether maps are resized (bilinear) to the size of the target where they differ;
            otherwise that is an error.
        curves_dir: Where ``pr_curve.png``, ``f_threshold.png`` and ``curves.json`` are written;
            nowhere if not given.
        method: What the curves are called.
        pred_key: Name of the saliency map in a data sample.
        target_key: Name of the true label map in a data sample.
        prefix: Stands before the names of the figures, with a slash.
        **kwargs: ``collect_device`` and ``collect_dir`` of ``BaseMetric``.

    Raises:
        ImportError: If PySODMetrics is not installed.
        ValueError: If ``beta2`` is not positive; when evaluating, if sizes differ, a map is no
            probability, a label is neither 0 nor 1 nor ignored, or a sample lacks one of the maps.

    Reference:
        :func:`mmdet_alrp.segmentation.evaluation.saliency_scores` for the definitions.
    """

    def __init__(
        self,
        beta2: float = 0.3,
        ignore_index: int | None = 255,
        stretch: bool = True,
        resize: bool = False,
        curves_dir: str | None = None,
        method: str = 'prediction',
        pred_key: str = 'seg_logits',
        target_key: str = 'gt_sem_seg',
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        check_pysodmetrics()  # before the training, not after its first epoch
        if not beta2 > 0:
            raise ValueError(f'beta2 must be positive, got {beta2}')
        self.beta2 = beta2
        self.ignore_index = ignore_index
        self.stretch = stretch
        self.resize = resize
        self.curves_dir = curves_dir
        self.method = method
        self.pred_key = pred_key
        self.target_key = target_key

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score the saliency maps of a batch, one result an image.

        Args:
            data_batch: Not needed.
            data_samples: Dictionaries with the saliency map, shape (1, h, w) or (2, h, w), and
                the true label map, (1, h, w).

        Raises:
            ValueError: If sizes differ, a map is no probability, a label is neither 0 nor 1 nor
                ignored, or a sample lacks one of the maps.
        """
        for sample in data_samples:
            probs, target, valid = self._read(sample)
            arrays = (values.cpu().numpy() for values in (probs, target, valid))
            self.results.append(saliency_scores(*arrays, self.beta2, self.stretch))

    def compute_metrics(self, results: list[Scores | None]) -> dict[str, float]:
        """Average the images, compute the figures and write the curves.

        Args:
            results: Scores of :func:`saliency_scores`, one an image.

        Returns:
            Figures of :func:`saliency_metrics`.

        Raises:
            ValueError: If there is no image with pixels that count.
        """
        mean_scores = average_scores(results)
        logger = MMLogger.get_current_instance()
        if not mean_scores['recall'].any():
            logger.warning(
                'No evaluated image has a salient pixel: every F is 0. Masks must be 1 where '
                f'something is salient; {self.ignore_index} is ignored.'
            )
        if self.curves_dir is not None:
            methods = {self.method: curves_of(mean_scores)}
            save_curves(Path(self.curves_dir) / 'curves.json', methods)
            save_curve_plots(methods, self.curves_dir)
            logger.info(f'Precision-recall and F-threshold curves are saved in {self.curves_dir}')
        return saliency_metrics(mean_scores)

    def _read(self, sample: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities (float), target and valid (bool), each of shape (h, w)."""
        target = read_map(sample, self.target_key)
        if target.shape[0] != 1:
            raise ValueError(
                f'{self.target_key} must have the shape (1, h, w), got {tuple(target.shape)}'
            )
        _, target, valid = check_labels(torch.zeros_like(target), target, 2, self.ignore_index)
        probs = self._probabilities(read_map(sample, self.pred_key))
        if probs.shape != target.shape:
            if not self.resize:
                sizes = f'{tuple(probs.shape[1:])} and {tuple(target.shape[1:])}'
                raise ValueError(
                    f'{self.pred_key} and {self.target_key} must have the same size, got {sizes}; '
                    'or set resize=True'
                )
            probs = interpolate(probs[None], target.shape[1:], mode='bilinear')[0]
        return probs[0], target[0].bool(), valid[0]

    def _probabilities(self, maps: Tensor) -> Tensor:
        maps = maps.double()
        if maps.shape[0] == 2:
            maps = maps.softmax(0)[1:]
        elif maps.shape[0] != 1:
            raise ValueError(
                f'{self.pred_key} must have one channel of probabilities or two of logits, '
                f'got {maps.shape[0]} channels'
            )
        low, high = maps.min().item(), maps.max().item()
        if not (low >= -SLACK and high <= 1 + SLACK):  # true for NaN as well
            raise ValueError(
                f'{self.pred_key} must hold probabilities in [0, 1], got values from {low:g} to '
                f'{high:g}: apply the sigmoid in the model, or return two channels of logits'
            )
        return maps.clamp(0, 1)
