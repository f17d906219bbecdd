"""Folders of images and of masks with the same names, as MMSegmentation's transforms read them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.fileio import list_dir_or_file, list_from_file

from mmdet_alrp.guards.errors import GuardError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
IGNORED = 255
NAMES_SHOWN = 3


class ImageMaskError(GuardError, ValueError):
    """Images and masks that do not go together; the message is one line for the user."""


def files_by_stem(
    folder: str, suffix: str | None = None, backend_args: dict | None = None
) -> dict[str, str]:
    """Find the images of a folder and its sub-folders.

    Args:
        folder: The folder.
        suffix: What their names end in; None takes all usual kinds of image files.
        backend_args: MMEngine's file backend; None is the disk.

    Returns:
        Name in the folder without its suffix -> name with it, sorted.

    Raises:
        ImageMaskError: If the folder is missing, or two files differ in nothing but the suffix.
    """
    found: dict[str, str] = {}
    try:
        names = sorted(
            list_dir_or_file(folder, list_dir=False, recursive=True, **_args(backend_args))
        )
    except (FileNotFoundError, NotADirectoryError):
        raise ImageMaskError(f'there is no folder {folder}') from None
    for name in names:
        stem, own_suffix = os.path.splitext(name)
        if suffix is not None:
            if not name.endswith(suffix):
                continue
            stem = name[: -len(suffix)]
        elif own_suffix.lower() not in SUFFIXES:
            continue
        if stem in found:
            raise ImageMaskError(
                f'{folder} holds {found[stem]} and {name}: say which with img_suffix or '
                'seg_map_suffix'
            )
        found[stem] = name
    return found


def _args(backend_args: dict | None) -> dict[str, Any]:
    return {} if backend_args is None else {'backend_args': backend_args}


def pair_files(
    images: dict[str, str], masks: dict[str, str], image_dir: str, mask_dir: str
) -> list[tuple[str, str]]:
    """Pair images with the masks of the same stem; masks without an image are left out.

    Args:
        images: Stem -> file name, in the order that is wanted.
        masks: Stem -> file name.
        image_dir: Folder of the images.
        mask_dir: Folder of the masks.

    Returns:
        Paths of each image and its mask.

    Raises:
        ImageMaskError: If an image has no mask.
    """
    lacking = [name for stem, name in images.items() if stem not in masks]
    if lacking:
        shown = ', '.join(lacking[:NAMES_SHOWN]) + (', ...' if len(lacking) > NAMES_SHOWN else '')
        raise ImageMaskError(
            f'{len(lacking)} of {len(images)} images in {image_dir} have no mask of their name in '
            f'{mask_dir}: {shown}'
        )
    return [
        (os.path.join(image_dir, name), os.path.join(mask_dir, masks[stem]))
        for stem, name in images.items()
    ]


class ImageMaskDataset(BaseDataset):
    """A folder of images and one of masks whose files have the same names, the suffix aside.

    Gives what MMSegmentation's transforms expect of one of its own data sets, without importing
    it. Sub-folders are looked into; what is no image file is left out.

    Args:
        data_prefix: ``img_path`` and ``seg_map_path``, the two folders; without the second one
            there is no ground truth.
        ann_file: A text file with one stem a line; empty takes every image of the folder.
        img_suffix: What the images' names end in; None takes all usual kinds of image files.
        seg_map_suffix: What the masks' names end in; needed where masks lie among the images.
        reduce_zero_label: Whether label 0 is to be ignored and all others count from 0.
        backend_args: MMEngine's file backend; None is the disk.
        **kwargs: Arguments of MMEngine's ``BaseDataset``. ``metainfo=dict(classes=...)`` with some
            of the classes makes their pixels the only ones that are not ignored.

    Raises:
        ImageMaskError: If a folder is missing or empty, an image has no mask, a stem of
            ``ann_file`` has no image, or a class is unknown.
    """

    def __init__(
        self,
        data_prefix: dict[str, str],
        ann_file: str = '',
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        reduce_zero_label: bool = False,
        backend_args: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.img_suffix = img_suffix
        self.seg_map_suffix = seg_map_suffix
        self.reduce_zero_label = reduce_zero_label
        self.backend_args = backend_args
        self.label_map: dict[int, int] | None = None
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    def full_init(self) -> None:
        """Number the chosen classes, then list the files."""
        if not self._fully_initialized:
            self._number_classes()
        super().full_init()

    def _number_classes(self) -> None:
        known = tuple(self.METAINFO.get('classes', ()))
        chosen = tuple(self._metainfo.get('classes', ()))
        if known and chosen != known:
            unknown = [name for name in chosen if name not in known]
            if unknown:
                raise ImageMaskError(
                    f'{type(self).__name__} has no class {unknown[0]!r}; it has {", ".join(known)}'
                )
            self.label_map = {
                label: chosen.index(name) if name in chosen else IGNORED
                for label, name in enumerate(known)
            }
            palette = self._metainfo['palette']
            if len(palette) != len(chosen):
                self._metainfo['palette'] = [palette[known.index(name)] for name in chosen]
        self._metainfo.update(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return a dict of paths and settings for each image.

        Raises:
            ImageMaskError: As the class, but for unknown classes.
        """
        image_dir = self.data_prefix['img_path']
        mask_dir = self.data_prefix.get('seg_map_path')
        images = files_by_stem(image_dir, self.img_suffix, self.backend_args)
        if self.ann_file:
            images = self._listed(images, image_dir)
        if not images:
            raise ImageMaskError(f'{image_dir} holds no image')
        if mask_dir is None:
            paths = [{'img_path': os.path.join(image_dir, name)} for name in images.values()]
        else:
            masks = files_by_stem(mask_dir, self.seg_map_suffix, self.backend_args)
            pairs = pair_files(images, masks, image_dir, mask_dir)
            paths = [{'img_path': image, 'seg_map_path': mask} for image, mask in pairs]
        return [
            {
                **path,
                'label_map': self.label_map,
                'reduce_zero_label': self.reduce_zero_label,
                'seg_fields': [],
            }
            for path in paths
        ]

    def _listed(self, images: dict[str, str], image_dir: str) -> dict[str, str]:
        """Return the images that ``ann_file`` names, in its order."""
        lines = list_from_file(self.ann_file, **_args(self.backend_args))
        stems: Sequence[str] = [line.strip() for line in lines if line.strip()]
        lacking = [stem for stem in stems if stem not in images]
        if lacking:
            raise ImageMaskError(
                f'{len(lacking)} of {len(stems)} names in {self.ann_file} have no image in '
                f'{image_dir}: {", ".join(lacking[:NAMES_SHOWN])}'
            )
        return {stem: images[stem] for stem in stems}
