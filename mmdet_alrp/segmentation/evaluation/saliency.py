"""Metrics of salient-object detection, for one image and for a data set.

The measures are PySODMetrics' (imported when the first image is scored); here is what goes into
them and how images become figures.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

LEVELS = 256  # thresholds of the curves: the grey levels of an 8-bit image
Scores = dict[str, np.ndarray]


def check_pysodmetrics() -> None:
    """Refuse to go on without PySODMetrics; imports nothing.

    Raises:
        ImportError: If it is not installed.
    """
    if importlib.util.find_spec('py_sod_metrics') is None:
        raise ImportError('SODMetric needs PySODMetrics: run `pip install pysodmetrics`')


def grey_levels(probs: np.ndarray, stretch: bool = True) -> np.ndarray:
    """Round probabilities to the 256 levels of a grey image, as people store and compare them.

    Args:
        probs: Probabilities in [0, 1].
        stretch: Whether the levels are spread over the whole of [0, 1] afterwards. Published
            figures are of stretched maps; a map of one level stays as it is.

    Returns:
        float64 in [0, 1], shape of ``probs``.
    """
    levels = np.round(np.asarray(probs, dtype=np.float64) * (LEVELS - 1)) / (LEVELS - 1)
    low, high = levels.min(), levels.max()
    return (levels - low) / (high - low) if stretch and high > low else levels


def saliency_scores(
    probs: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray | None = None,
    beta2: float = 0.3,
    stretch: bool = True,
) -> Scores | None:
    """Score the saliency map of one image.

    Convention:
        The map is rounded to 256 grey levels first, see :func:`grey_levels`, so the scores are
        those of the map stored as an 8-bit image. F, E and MAE are over the pixels that are
        ``valid``; S-measure and weighted F, which look at the plane, take the others as background
        that is rightly predicted. Without salient pixels every F is 0.

    Args:
        probs: Probability of being salient, shape (h, w).
        target: Which pixels are salient, bool, shape (h, w).
        valid: Which pixels count, bool, shape (h, w); all if not given.
        beta2: Weight of recall in F, beta squared.
        stretch: As in :func:`grey_levels`.

    Returns:
        ``F``, ``E``, ``precision`` and ``recall`` for the thresholds 0 ... 255, each of shape
        (256,), where a pixel is salient from the threshold on; ``adpF``, ``adpE`` at twice the
        map's mean, ``MAE``, ``Smeasure`` and ``wF`` (with beta 1, as its authors have it) of shape
        (). None if fewer than two pixels count: E divides by their number minus 1.

    Raises:
        ImportError: If PySODMetrics is not installed.
        ValueError: If shapes disagree.

    Reference:
        Achanta et al., CVPR 2009 (F); Margolin et al., CVPR 2014 (weighted F); Fan et al., ICCV
        2017 (S-measure); Fan et al., IJCAI 2018 (E-measure). PySODMetrics 1.6.2.
    """
    check_pysodmetrics()
    import py_sod_metrics as measures

    valid = np.ones(target.shape, dtype=bool) if valid is None else valid
    if not probs.shape == target.shape == valid.shape or target.ndim != 2:
        shapes = f'{probs.shape}, {target.shape} and {valid.shape}'
        raise ValueError(f'probs, target and valid must have one shape (h, w), got {shapes}')
    if valid.sum() < 2:
        return None
    levels = np.zeros(target.shape)
    levels[valid] = grey_levels(probs[valid], stretch)
    mask = target & valid
    plane, counted = (levels, mask), (levels[valid][None], mask[valid][None])

    handlers = {
        'F': measures.FmeasureHandler(with_dynamic=True, with_adaptive=True, beta=beta2),
        'precision': measures.PrecisionHandler(with_dynamic=True, with_adaptive=False),
        'recall': measures.RecallHandler(with_dynamic=True, with_adaptive=False),
    }
    binary = _measure(measures.FmeasureV2(handlers), counted)
    enhanced = _measure(measures.Emeasure(), counted)['em']
    # The library goes down from threshold 255 to 0.
    scores = {name: result['dynamic'][::-1] for name, result in binary.items()}
    scores['E'] = enhanced['curve'][::-1]
    scores['adpF'] = binary['F']['adaptive']
    scores['adpE'] = enhanced['adp']
    scores['MAE'] = _measure(measures.MAE(), counted)['mae']
    scores['Smeasure'] = _measure(_structure_measure(measures.Smeasure), plane)['sm']
    scores['wF'] = _measure(measures.WeightedFmeasure(), plane)['wfm']
    return {name: np.array(score, dtype=np.float64) for name, score in scores.items()}


def average_scores(scores: Sequence[Scores | None]) -> Scores:
    """Average the scores of the images of a data set.

    Args:
        scores: Of :func:`saliency_scores`; None is left out.

    Returns:
        The same entries, averaged over the images.

    Raises:
        ValueError: If there is none to average.
    """
    scored = [score for score in scores if score is not None]
    if not scored:
        raise ValueError('no image with pixels that count was evaluated: nothing to measure')
    return {name: np.mean([score[name] for score in scored], axis=0) for name in scored[0]}


def saliency_metrics(mean_scores: Scores) -> dict[str, float]:
    """Reduce averaged scores to the figures that people report.

    Args:
        mean_scores: Of :func:`average_scores`.

    Returns:
        ``maxF``, ``meanF``, ``adpF``, ``MAE`` (lower is better), ``Smeasure``, ``maxE``,
        ``meanE``, ``adpE`` and ``wF``. Maximum and mean are over the 256 thresholds of the curve
        that is the mean of the images' curves.
    """
    figures = {}
    for curve in 'FE':
        figures[f'max{curve}'] = mean_scores[curve].max()
        figures[f'mean{curve}'] = mean_scores[curve].mean()
    names = ('adpF', 'adpE', 'MAE', 'Smeasure', 'wF')
    figures.update({name: mean_scores[name] for name in names})
    return {name: float(value) for name, value in figures.items()}


def _measure(measure: Any, maps: tuple[np.ndarray, np.ndarray]) -> dict:
    measure.step(*maps, normalize=False)
    return measure.get_results()


def _structure_measure(base: type) -> Any:
    """Make a structure measure of PySODMetrics' class, which is there only once it is imported."""

    class StructureMeasure(base):
        """Without NaN where the object's centre lies in the last row or column."""

        def ssim(self, pred: np.ndarray, gt: np.ndarray) -> float:
            return super().ssim(pred, gt) if pred.size else 0.0  # its weight is 0

    return StructureMeasure()
