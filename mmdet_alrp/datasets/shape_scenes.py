"""Scenes of drawn shapes: what stands where, before anything is painted or annotated.

A :class:`Scene` is all that a renderer needs. The painter makes the image of it, the mask renderer
the visible part of every shape; both see the same geometry, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .scene_styles import SceneStyle
from .shape_outlines import CLASS_OUTLINES, DISTRACTOR_OUTLINES, Outline

SUBPIXEL_BITS = 4  # OpenCV draws polygons with this many fractional bits
MIN_VISIBLE_PIXELS = 36


@dataclass(frozen=True)
class Shape:
    """One shape of a scene.

    Args:
        kind: Key of ``CLASS_OUTLINES`` or ``DISTRACTOR_OUTLINES``.
        outline: Polygons in pixels, origin at the centre of the first pixel; the second and later
            ones are holes.
        contrast: How far its colour stands out from what is behind it, in grey levels.
        paint_seed: Seed of its colour and texture.
    """

    kind: str
    outline: Outline
    contrast: float
    paint_seed: int

    @property
    def is_distractor(self) -> bool:
        """Whether the shape belongs to no class."""
        return self.kind not in CLASS_OUTLINES


@dataclass(frozen=True)
class Scene:
    """Everything that one image is rendered from.

    Args:
        width: Image width in pixels.
        height: Image height in pixels.
        shapes: Back to front: a later shape hides the earlier ones.
        paint_seed: Seed of background, clutter, blur and noise.
        style: How much clutter, blur and noise there may be.
    """

    width: int
    height: int
    shapes: tuple[Shape, ...]
    paint_seed: int
    style: SceneStyle


def to_fixed_point(outline: Outline) -> list[np.ndarray]:
    """Return the outline as OpenCV's fixed-point polygons."""
    return [np.rint(part * 2**SUBPIXEL_BITS).astype(np.int32) for part in outline]


def shape_mask(outline: Outline, width: int, height: int) -> np.ndarray:
    """Return the pixels that an outline covers, bool, shape (height, width).

    Args:
        outline: Polygons in pixels; the second and later ones are holes.
        width: Image width in pixels.
        height: Image height in pixels.
    """
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, to_fixed_point(outline), 1, cv2.LINE_8, SUBPIXEL_BITS)
    return mask.astype(bool)


def full_area(outline: Outline) -> float:
    """Return the area of an outline in pixels, what lies outside the image included."""
    outer, *holes = (cv2.contourArea(part.astype(np.float32)) for part in outline)
    return outer - sum(holes)


def visible_masks(scene: Scene) -> list[np.ndarray]:
    """Return the part of every shape, distractors included, that no later shape hides.

    Returns:
        One bool mask of shape (height, width) for each of ``scene.shapes``, in their order.
    """
    hidden = np.zeros((scene.height, scene.width), bool)
    masks = []
    for shape in reversed(scene.shapes):
        mask = shape_mask(shape.outline, scene.width, scene.height)
        masks.append(mask & ~hidden)
        hidden |= mask
    return masks[::-1]


def instance_masks(scene: Scene) -> list[tuple[str, np.ndarray]]:
    """Return class name and visible mask of every annotated shape, back to front."""
    pairs = zip(scene.shapes, visible_masks(scene), strict=True)
    return [(shape.kind, mask) for shape, mask in pairs if not shape.is_distractor]


def compose_scene(
    rng: np.random.Generator,
    width: int,
    height: int,
    classes: tuple[str, ...],
    style: SceneStyle,
) -> Scene:
    """Draw the content of one scene at random.

    Args:
        rng: The scene's own generator; nothing else decides the result.
        width: Image width in pixels.
        height: Image height in pixels.
        classes: Names of the classes that may appear.
        style: How hard the scene may be.

    Returns:
        A scene in which every annotated shape is visible well enough to be found: the others are
        taken out, because an object that is painted but not annotated would be a false label.
    """
    num_objects = 1 + min(int(rng.poisson(style.mean_objects)), style.max_objects - 1)
    kinds = list(rng.choice(classes, num_objects))
    kinds += list(rng.choice(list(DISTRACTOR_OUTLINES), rng.integers(0, style.max_distractors + 1)))
    # placed from large to small, with a little disorder: small shapes lie mostly in front
    radii = np.array([_random_radius(rng, min(width, height), style) for _ in kinds])
    order = np.argsort(-radii * rng.uniform(0.6, 1.6, len(radii)))
    size = np.array([width, height])
    shapes = tuple(_random_shape(rng, str(kinds[i]), radii[i], size, style) for i in order)
    return _without_hidden(Scene(width, height, shapes, int(rng.integers(2**31)), style))


def _random_radius(rng: np.random.Generator, side: int, style: SceneStyle) -> float:
    """Return a radius in pixels, log-uniform: as many shapes of 8 to 16 as of 40 to 80."""
    largest = max(style.max_radius * side, 12.0)
    smallest = min(style.min_radius, largest)
    return float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))


def _random_shape(
    rng: np.random.Generator, kind: str, radius: float, size: np.ndarray, style: SceneStyle
) -> Shape:
    outline = {**CLASS_OUTLINES, **DISTRACTOR_OUTLINES}[kind](rng)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    border = np.minimum(style.margin * radius, size / 2)
    center = rng.uniform(border, size - border)
    placed = [part * radius @ turn + center for part in outline]
    # a small shape needs more contrast to be seen at all
    contrast = rng.uniform(*style.contrast) + 60.0 / np.sqrt(radius)
    return Shape(kind, placed, float(contrast), int(rng.integers(2**31)))


def _without_hidden(scene: Scene) -> Scene:
    """Take out, worst first, the annotated shapes of which too little is to be seen."""
    while True:
        fractions = [
            _visible_fraction(shape, int(mask.sum()))
            for shape, mask in zip(scene.shapes, visible_masks(scene), strict=True)
        ]
        if not fractions or min(fractions) >= scene.style.min_visible:
            return scene
        worst = int(np.argmin(fractions))
        scene = replace(scene, shapes=scene.shapes[:worst] + scene.shapes[worst + 1 :])


def _visible_fraction(shape: Shape, visible_pixels: int) -> float:
    if shape.is_distractor:
        return 1.0
    if visible_pixels < MIN_VISIBLE_PIXELS:
        return 0.0
    return visible_pixels / full_area(shape.outline)
