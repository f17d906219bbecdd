"""Masks of drawn shapes for semantic segmentation and for salient-object segmentation."""

from __future__ import annotations

import numpy as np

from .shape_scenes import Scene, instance_masks

SALIENT_FRACTION = 0.5


def semantic_mask(scene: Scene, classes: tuple[str, ...]) -> np.ndarray:
    """Return the class of every pixel.

    Args:
        scene: A scene.
        classes: Names of the classes in the order of their ids, which start at 1.

    Returns:
        uint8, shape (height, width); 0 is background, distractors included.
    """
    mask = np.zeros((scene.height, scene.width), np.uint8)
    for kind, visible in instance_masks(scene):
        mask[visible] = classes.index(kind) + 1
    return mask


def saliency_mask(scene: Scene) -> np.ndarray:
    """Return what catches the eye: the largest object, and those at least half as large.

    Size is the number of visible pixels. A distractor is never salient: what is to be learnt is
    objects, and among them the large ones.

    Args:
        scene: A scene.

    Returns:
        uint8, shape (height, width); 255 is salient, 0 is not.
    """
    masks = [visible for _, visible in instance_masks(scene)]
    areas = [visible.sum() for visible in masks]
    mask = np.zeros((scene.height, scene.width), np.uint8)
    for visible, area in zip(masks, areas, strict=True):
        if area >= SALIENT_FRACTION * max(areas):
            mask[visible] = 255
    return mask
