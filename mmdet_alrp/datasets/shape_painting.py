"""The painter: makes the image of a scene, with clutter, low contrast, blur and noise."""

from __future__ import annotations

import cv2
import numpy as np

from .scene_styles import SceneStyle
from .shape_scenes import SUBPIXEL_BITS, Scene, Shape, to_fixed_point


def paint_image(scene: Scene) -> np.ndarray:
    """Paint a scene.

    Args:
        scene: What to paint; its seeds decide every colour and every grain of noise.

    Returns:
        The image in OpenCV's channel order (blue, green, red), uint8, shape (height, width, 3).
    """
    rng = np.random.default_rng(scene.paint_seed)
    style = scene.style
    canvas = _background(rng, scene.width, scene.height, style.texture)
    _add_clutter(rng, canvas, style)
    for shape in scene.shapes:
        _paint_shape(canvas, shape)
    sigma = rng.uniform(0.0, style.max_blur)
    if sigma > 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), sigma)
    grain = rng.standard_normal(canvas.shape, dtype=np.float32) * rng.uniform(*style.grain)
    return np.clip(canvas + grain, 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    """Return smooth noise of about ``cells`` bumps a side, float32, shape (height, width, 3)."""
    coarse = rng.standard_normal((cells, cells, 3), dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _background(rng: np.random.Generator, width: int, height: int, texture: float) -> np.ndarray:
    """Return a textured gradient, float32, grey levels."""
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = rng.uniform(70, 185) + rng.normal(0, 22, 3)
    direction = rng.normal(0, 25, (2, 3)).astype(np.float32)
    canvas += np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * direction[0]
    canvas += np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * direction[1]
    for cells, strength in ((4, 14.0), (11, 9.0), (31, 6.0)):
        canvas += _texture(rng, width, height, cells) * (texture * strength * rng.uniform(0.2, 1.3))
    return canvas


def _add_clutter(rng: np.random.Generator, canvas: np.ndarray, style: SceneStyle) -> None:
    """Draw lines, open curves and soft blobs behind the shapes, in place."""
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(0, style.max_blobs + 1)):
        blob = np.zeros((height, width), np.float32)
        center = rng.integers(0, [width, height])
        axes = rng.integers(4, max(5, min(width, height) // 4), 2)
        cv2.ellipse(blob, center.tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, 1.0, -1)
        blob = cv2.GaussianBlur(blob, (0, 0), rng.uniform(2.0, 7.0))
        canvas += blob[..., None] * rng.normal(0, 40, 3).astype(np.float32)
    for _ in range(rng.integers(0, style.max_strokes + 1)):
        points = rng.uniform(0, [width, height], (rng.integers(2, 5), 2))
        if rng.random() < 0.5:  # a short stroke: the same line drawn together towards one point
            points = points[0] + (points - points[0]) * 0.2
        color = canvas[tuple((points[0, ::-1]).astype(int))] + rng.normal(0, 45, 3)
        cv2.polylines(
            canvas,
            to_fixed_point([points]),
            False,
            color.tolist(),
            int(rng.integers(1, 4)),
            cv2.LINE_8,
            SUBPIXEL_BITS,
        )


def _paint_shape(canvas: np.ndarray, shape: Shape) -> None:
    """Paint one shape over the canvas with smooth edges, in place."""
    rng = np.random.default_rng(shape.paint_seed)
    height, width = canvas.shape[:2]
    points = np.concatenate(shape.outline)
    low = np.clip(np.floor(points.min(0)).astype(int) - 2, 0, [width, height])
    high = np.clip(np.ceil(points.max(0)).astype(int) + 3, 0, [width, height])
    if (high <= low).any():
        return
    window = canvas[low[1] : high[1], low[0] : high[0]]
    coverage = np.zeros(window.shape[:2], np.uint8)
    polygons = to_fixed_point([part - low for part in shape.outline])
    cv2.fillPoly(coverage, polygons, 255, cv2.LINE_AA, SUBPIXEL_BITS)
    alpha = (coverage.astype(np.float32) / 255)[..., None]
    window += alpha * (_fill(rng, window, alpha, shape.contrast) - window)
    if rng.random() < 0.35:
        edge = (window.mean((0, 1)) + rng.normal(0, 35, 3)).tolist()
        cv2.polylines(window, polygons, True, edge, 1, cv2.LINE_8, SUBPIXEL_BITS)


def _fill(
    rng: np.random.Generator, window: np.ndarray, alpha: np.ndarray, contrast: float
) -> np.ndarray:
    """Return the shape's colours: a fixed distance from what it covers, shaded or striped."""
    height, width = window.shape[:2]
    behind = (window * alpha).sum((0, 1)) / max(float(alpha.sum()), 1.0)
    direction = rng.normal(0, 1, 3)
    direction /= np.linalg.norm(direction)
    # away from the darker or brighter end, so that clipping cannot eat the contrast
    if (behind.mean() - 128) * direction.sum() > 0:
        direction = -direction
    fill = np.empty_like(window)
    fill[:] = behind + contrast * direction * np.sqrt(3)
    style = rng.random()
    if style < 0.35:
        ramp = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
        fill += ramp * rng.normal(0, 14, 3).astype(np.float32)
    elif style < 0.55:
        steps = np.add.outer(np.arange(height) * rng.uniform(-1, 1), np.arange(width))
        fill += (np.sin(steps * rng.uniform(0.5, 1.2)) * rng.uniform(6, 16))[..., None]
    elif style < 0.75:
        fill += _texture(rng, width, height, 7) * 9.0
    return fill
