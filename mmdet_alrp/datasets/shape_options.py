"""Options of a data set of drawn shapes, and where its files lie."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from .scene_styles import SCENES
from .shape_outlines import CLASS_OUTLINES

GENERATOR_VERSION = 2  # raise it whenever the same options give other files
SPLITS = ('train', 'val')


@dataclass(frozen=True)
class Layout:
    """Where the files of one kind of data set lie.

    Args:
        top: Names in the folder of the data set, the manifest left out.
        images: Pattern of the folder of a split's images.
        truth: Pattern of a split's file of annotations or folder of masks.
    """

    top: tuple[str, ...]
    images: str
    truth: str


_MASKS = Layout(('images', 'masks'), 'images/{split}', 'masks/{split}')
LAYOUTS = {
    'boxes': Layout(('train', 'val', 'train.json', 'val.json'), '{split}', '{split}.json'),
    'semantic': _MASKS,
    'saliency': _MASKS,
}


@dataclass(frozen=True)
class ShapesOptions:
    """Options of a data set of drawn shapes; equal options give equal files.

    Args:
        train: Number of training images.
        val: Number of validation images.
        width: Image width in pixels.
        height: Image height in pixels.
        seed: Seed of the whole set.
        classes: Names of the classes to draw; their order is that of the category ids.
        kind: Key of ``LAYOUTS``: what is written beside the images.
        scenes: Key of ``SCENES``: how hard the scenes are.

    Raises:
        ValueError: If one of them cannot be drawn.
    """

    train: int = 3000
    val: int = 500
    width: int = 160
    height: int = 160
    seed: int = 0
    classes: tuple[str, ...] = tuple(CLASS_OUTLINES)
    kind: str = 'boxes'
    scenes: str = 'easy'

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.kind not in LAYOUTS:
            raise ValueError(f'kind must be one of {", ".join(LAYOUTS)}; got {self.kind!r}')
        if self.scenes not in SCENES:
            raise ValueError(f'scenes must be one of {", ".join(SCENES)}; got {self.scenes!r}')
        for name in SPLITS:
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}')
        if not (32 <= self.width <= 4096 and 32 <= self.height <= 4096):
            raise ValueError(f'size must be 32 to 4096 a side, got {self.width}x{self.height}')
        if self.seed < 0:
            raise ValueError(f'seed must not be negative, got {self.seed}')
        unknown = [name for name in self.classes if name not in CLASS_OUTLINES]
        if unknown or not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(
                f'classes must be different ones of {", ".join(CLASS_OUTLINES)}; '
                f'got {", ".join(self.classes) or "none"}'
            )

    @property
    def layout(self) -> Layout:
        """Where the files of this kind lie."""
        return LAYOUTS[self.kind]

    def manifest(self) -> dict:
        """Return what identifies the data set, as JSON gives it back."""
        content = json.loads(json.dumps({'generator': GENERATOR_VERSION, **asdict(self)}))
        if self.kind == 'boxes':  # the only kind at first: its manifests say nothing about it
            del content['kind']
        if self.scenes == 'hard':  # likewise
            del content['scenes']
        return content
