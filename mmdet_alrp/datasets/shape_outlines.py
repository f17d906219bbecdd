"""Outlines of the drawn shapes: what each class and each distractor looks like.

An outline is a list of closed polygons in unit coordinates (the shape fills about the circle of
radius 1). Every further polygon is a hole in the first one: filled by the even-odd rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Outline = list[np.ndarray]


def _turns(count: int, radius: float | np.ndarray = 1.0) -> np.ndarray:
    """Return ``count`` points around the origin, the first one at the top, shape (count, 2)."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) - np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(radius, (-1, 1))


def _ellipse(rng: np.random.Generator) -> Outline:
    return [_turns(48) * [1.0, rng.uniform(0.6, 1.0)]]


def _rectangle(rng: np.random.Generator) -> Outline:
    half_height = rng.uniform(0.35, 0.9)
    return [np.array([[-0.9, -1.0], [0.9, -1.0], [0.9, 1.0], [-0.9, 1.0]]) * [1.0, half_height]]


def _triangle(rng: np.random.Generator) -> Outline:
    apex = rng.uniform(-0.5, 0.5)
    return [np.array([[apex, -0.95], [0.95, 0.8], [-0.95, 0.8]]) * [1.0, rng.uniform(0.7, 1.0)]]


def _star(rng: np.random.Generator) -> Outline:
    return [_turns(10, np.tile([1.0, rng.uniform(0.4, 0.55)], 5))]


def _ring(rng: np.random.Generator) -> Outline:
    # the hole starts small: such a ring is easily taken for an ellipse
    outer = _turns(48) * [1.0, rng.uniform(0.75, 1.0)]
    return [outer, outer * rng.uniform(0.35, 0.7)]


def _cross(rng: np.random.Generator) -> Outline:
    arm = rng.uniform(0.25, 0.4)
    quarter = np.array([[arm, -1.0], [arm, -arm], [1.0, -arm]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return [np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])]


def _hexagon(rng: np.random.Generator) -> Outline:
    return [_turns(6) * [1.0, rng.uniform(0.75, 1.0)]]


def _crescent(rng: np.random.Generator) -> Outline:
    angles = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 20)
    depth = rng.uniform(0.2, 0.6)
    outer = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [np.concatenate([outer, outer[::-1] * [depth, 1.0]]) - [0.5, 0.0]]


def _four_pointed_star(rng: np.random.Generator) -> Outline:
    return [_turns(8, np.tile([1.0, rng.uniform(0.3, 0.45)], 4))]


#: Class name -> outline; the order is the order of the category ids.
CLASS_OUTLINES: dict[str, Callable[[np.random.Generator], Outline]] = {
    'ellipse': _ellipse,
    'rectangle': _rectangle,
    'triangle': _triangle,
    'star': _star,
    'ring': _ring,
}

#: Shapes that are no class: drawn like the others, never annotated.
DISTRACTOR_OUTLINES: dict[str, Callable[[np.random.Generator], Outline]] = {
    'cross': _cross,
    'hexagon': _hexagon,
    'crescent': _crescent,
    'four-pointed star': _four_pointed_star,
}

#: Colour of each class in drawn predictions, red green blue.
PALETTE: dict[str, tuple[int, int, int]] = {
    'ellipse': (230, 60, 60),
    'rectangle': (60, 130, 230),
    'triangle': (60, 190, 90),
    'star': (240, 170, 30),
    'ring': (170, 80, 210),
}
