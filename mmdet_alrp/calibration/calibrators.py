"""Calibrators: rising maps from scores to expected IoUs, fitted to pairs of both; NumPy only.

Isotonic regression is scikit-learn's, which is imported only when one is fitted.

Reference:
    Kuzucu, Oksuz et al., On Calibration of Object Detectors, ECCV 2024, arXiv:2405.20459. Platt,
    Probabilistic outputs for support vector machines, 1999. Guo et al., On Calibration of Modern
    Neural Networks, ICML 2017, arXiv:1706.04599 (temperature).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmdet_alrp.compatibility import is_importable

TILT = 1e-3  # rise of a step of the map, from its lowest score to its highest
SMALLEST = 1e-6  # a score nearer to 0 or 1 has the logit of this one
GRID = np.linspace(-8.0, 8.0, 97)  # logits at which a smooth map gets its knots: within .001 of it


@dataclass(frozen=True)
class Knots:
    """A map that is linear between its knots.

    Args:
        scores: Rising, from 0 to 1, shape (k,), k >= 2.
        ious: Expected IoUs at these scores, in [0, 1], never falling, shape (k,).
    """

    scores: np.ndarray
    ious: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return the expected IoUs of scores in [0, 1], of the same shape."""
        return np.interp(scores, self.scores, self.ious)


def fit_isotonic(scores: np.ndarray, ious: np.ndarray) -> Knots:
    """Steps that never fall, with the least squared error.

    Above the highest score the last step goes on. Below the lowest, which is the score that the
    detections had to reach, nothing was fitted: the map goes straight to (0, 0), so that what was
    not even worth fitting does not get the IoU of the worst that was.

    Args:
        scores: In [0, 1], shape (n,), n >= 1.
        ious: Targets in [0, 1], shape (n,).

    Raises:
        ModuleNotFoundError: If scikit-learn is not installed.
    """
    check_method('isotonic')
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(scores, ious)
    steps, values = fitted.X_thresholds_, fitted.y_thresholds_
    before = [0.0] if steps[0] > 0 else []
    after = [1.0] if steps[-1] < 1 else []
    return Knots(
        np.concatenate([before, steps, after]),
        np.concatenate([before, values, [values[-1]] if after else []]),
    )


def fit_linear(scores: np.ndarray, ious: np.ndarray) -> Knots:
    """``clip(a score + b, 0, 1)`` with the least squared error before clipping and a >= 0.

    Args:
        scores: In [0, 1], shape (n,), n >= 1.
        ious: Targets in [0, 1], shape (n,).
    """
    centred = scores - scores.mean()
    variance = centred @ centred
    slope = max(float(centred @ ious / variance), 0.0) if variance > 0 else 0.0
    offset = float(ious.mean() - slope * scores.mean())
    bends = [(level - offset) / slope for level in (0.0, 1.0)] if slope > 0 else []
    knots = np.array([0.0, *(bend for bend in bends if 0 < bend < 1), 1.0])
    return Knots(knots, np.clip(slope * knots + offset, 0.0, 1.0))


def fit_platt(scores: np.ndarray, ious: np.ndarray) -> Knots:
    """``sigmoid(a logit(score) + b)`` with the least cross entropy and a >= 0.

    Args:
        scores: In [0, 1], shape (n,), n >= 1.
        ious: Targets in [0, 1], shape (n,).
    """
    logits = _logit(scores)
    factor, offset = _least_cross_entropy(np.stack([logits, np.ones_like(logits)], axis=1), ious)
    if factor < 0:  # the loss is convex: with the condition its minimum lies at a = 0
        factor, offset = 0.0, float(_logit(ious.mean()))
    return _sigmoid_knots(factor, offset)


def fit_temperature(scores: np.ndarray, ious: np.ndarray) -> Knots:
    """``sigmoid(a logit(score))`` with the least cross entropy and a = 1 / temperature >= 0.

    Args:
        scores: In [0, 1], shape (n,), n >= 1.
        ious: Targets in [0, 1], shape (n,).
    """
    (factor,) = _least_cross_entropy(_logit(scores)[:, None], ious)
    return _sigmoid_knots(max(factor, 0.0), 0.0)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], Knots]] = {
    'isotonic': fit_isotonic,
    'platt': fit_platt,
    'linear': fit_linear,
    'temperature': fit_temperature,
}


def check_method(method: str) -> None:
    """Check that a calibrator can be fitted here.

    Args:
        method: One of :data:`METHODS`.

    Raises:
        ValueError: If the method is unknown.
        ModuleNotFoundError: If the method is isotonic and scikit-learn is not installed.
    """
    if method not in METHODS:
        raise ValueError(f'unknown method {method!r}; known: {", ".join(METHODS)}')
    if method == 'isotonic' and not is_importable('sklearn'):
        raise ModuleNotFoundError(
            "isotonic regression needs scikit-learn: pip install 'mmdet-alrp[calibration]', or "
            'take another method',
            name='sklearn',
        )


def fit_knots(scores: np.ndarray, ious: np.ndarray, method: str = 'isotonic') -> Knots:
    """Fit a calibrator whose order of scores is that of the scores that it is given.

    Where the fitted map is flat, it gets a rise of at most 0.001, half of it below the fitted
    value and half above: equal IoUs keep the order of their scores.

    Args:
        scores: In [0, 1], shape (n,), n >= 1.
        ious: Targets in [0, 1], shape (n,).
        method: One of :data:`METHODS`.

    Raises:
        ValueError: If the method is unknown.
        ModuleNotFoundError: If the method is isotonic and scikit-learn is not installed.
    """
    check_method(method)
    fitted = METHODS[method](np.asarray(scores, dtype=float), np.asarray(ious, dtype=float))
    return Knots(fitted.scores, _without_flats(fitted.ious))


def _without_flats(ious: np.ndarray) -> np.ndarray:
    """Tilt what is flat, by less than half of the way to the next step."""
    levels, level, counts = np.unique(ious.round(6), return_inverse=True, return_counts=True)
    gaps = np.diff(levels, prepend=-np.inf, append=np.inf)
    room = np.minimum(TILT / 2, np.minimum(gaps[:-1], gaps[1:]) / 3)
    low, high = np.maximum(levels - room, 0.0), np.minimum(levels + room, 1.0)
    place = np.arange(len(ious)) - (np.cumsum(counts) - counts)[level]
    tilted = low[level] + (high - low)[level] * place / np.maximum(counts[level] - 1, 1)
    return np.where(counts[level] > 1, tilted, levels[level])


def _logit(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, SMALLEST, 1.0 - SMALLEST)
    return np.log(values / (1.0 - values))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def _sigmoid_knots(factor: float, offset: float) -> Knots:
    if factor == 0:
        return Knots(np.array([0.0, 1.0]), np.full(2, _sigmoid(offset)))
    scores = np.concatenate([[0.0], _sigmoid(GRID), [1.0]])
    return Knots(scores, np.concatenate([[0.0], _sigmoid(factor * GRID + offset), [1.0]]))


def _least_cross_entropy(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression with soft targets, by Newton's method.

    A penalty too small to be seen keeps them finite where all targets are 0 or 1.
    """
    penalty = 1e-6
    weights = np.zeros(features.shape[1])

    def loss(weights: np.ndarray) -> float:
        values = features @ weights
        entropy = np.logaddexp(0.0, values) - targets * values
        return float(entropy.mean() + penalty * weights @ weights / 2)

    for _ in range(100):
        probs = _sigmoid(features @ weights)
        gradient = features.T @ (probs - targets) / len(targets) + penalty * weights
        curvature = features.T @ (features * (probs * (1 - probs))[:, None]) / len(targets)
        step = np.linalg.solve(curvature + penalty * np.eye(len(weights)), gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-12:
            step /= 2
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    return weights
