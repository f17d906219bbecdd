"""How hard drawn scenes are: what stands in an image and how well it is seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneStyle:
    """Ranges that the scenes of a data set are drawn from.

    Args:
        mean_objects: Mean of the Poisson distribution of all objects but the first.
        max_objects: Most objects of an image.
        max_distractors: Most shapes of no class in an image.
        min_radius: Smallest radius in pixels.
        max_radius: Largest radius as a fraction of the image's shorter side.
        margin: How far a centre keeps from the border, as a fraction of the radius.
        min_visible: Fraction of an object that must be seen; others are taken out.
        contrast: Lowest and highest distance in grey levels from what is behind.
        texture: Strength of the background's texture; 1 is up to some 40 grey levels.
        max_blobs: Most soft blobs behind the shapes.
        max_strokes: Most lines and curves behind the shapes.
        max_blur: Largest sigma of the blur in pixels.
        grain: Lowest and highest standard deviation of the noise in grey levels.
    """

    mean_objects: float
    max_objects: int
    max_distractors: int
    min_radius: float
    max_radius: float
    margin: float
    min_visible: float
    contrast: tuple[float, float]
    texture: float
    max_blobs: int
    max_strokes: int
    max_blur: float
    grain: tuple[float, float]


#: Name -> style; the first one is the default.
SCENES: dict[str, SceneStyle] = {
    'easy': SceneStyle(
        mean_objects=2.0,
        max_objects=6,
        max_distractors=0,
        min_radius=16.0,
        max_radius=0.3,
        margin=1.0,
        min_visible=0.9,
        contrast=(80.0, 120.0),
        texture=0.4,
        max_blobs=2,
        max_strokes=0,
        max_blur=0.6,
        grain=(2.0, 6.0),
    ),
    'hard': SceneStyle(
        mean_objects=3.0,
        max_objects=12,
        max_distractors=1,
        min_radius=7.0,
        max_radius=0.6,
        margin=0.0,
        min_visible=0.35,
        contrast=(30.0, 110.0),
        texture=1.0,
        max_blobs=3,
        max_strokes=8,
        max_blur=1.3,
        grain=(3.0, 18.0),
    ),
}
