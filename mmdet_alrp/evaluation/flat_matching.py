"""COCO's matching at one IoU threshold for all images and classes at once; NumPy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from pycocotools.coco import COCO

from .lrp_curve import ClassMatches


@dataclass(frozen=True)
class FlatAnnotations:
    """Objects or detections of all images as columns, in the order of class, then image.

    Args:
        ids: COCO ids, shape (n,).
        areas: Areas in pixels, shape (n,).
        scores: Confidence, descending inside an image and class, shape (n,); 0 for objects.
        is_crowd: Whether COCO ignores the object in any area range, shape (n,).
        starts: Where the annotations of a class in an image begin, shape
            (num_classes * num_images + 1,).
        num_images: Number of evaluated images.
    """

    ids: np.ndarray
    areas: np.ndarray
    scores: np.ndarray
    is_crowd: np.ndarray
    starts: np.ndarray
    num_images: int

    @cached_property
    def groups(self) -> np.ndarray:
        """Number ``class * num_images + image`` of every annotation, shape (n,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def outside(self, area_range: Sequence[float]) -> np.ndarray:
        """Whether an annotation is smaller or larger than the range, shape (n,)."""
        return (self.areas < area_range[0]) | (self.areas > area_range[1])

    def of_class(self, class_index: int) -> slice:
        """Where the annotations of a class stand."""
        first = class_index * self.num_images
        return slice(int(self.starts[first]), int(self.starts[first + self.num_images]))


def flat_annotations(
    coco: COCO, img_ids: Sequence[int], cat_ids: Sequence[int], max_dets: int | None = None
) -> FlatAnnotations:
    """Columns of what pycocotools would evaluate, in its order.

    Args:
        coco: Ground truth or detections.
        img_ids: Evaluated images, each once.
        cat_ids: Evaluated categories, each once.
        max_dets: With a number, sorted by score and cut after so many best of an image and class;
            None keeps the order of the data set, as COCO does for objects.
    """
    images = {img_id: index for index, img_id in enumerate(img_ids)}
    classes = {cat_id: index for index, cat_id in enumerate(cat_ids)}
    # the annotation is looked up by its id once more because pycocotools does, too
    anns = [
        coco.anns[ann['id']]
        for img_id in img_ids
        for ann in coco.imgToAnns.get(img_id, ())
        if ann['category_id'] in classes
    ]
    num_images = len(images)
    group = np.array([classes[a['category_id']] * num_images + images[a['image_id']] for a in anns])
    group = group.astype(int)
    scores = np.array([ann.get('score', 0.0) for ann in anns], dtype=float)
    # pycocotools sorts stably, too
    order = np.argsort(group, kind='stable') if max_dets is None else np.lexsort((-scores, group))
    if max_dets is not None:
        order = order[_rank_in_group(group[order]) < max_dets]
    return FlatAnnotations(
        np.array([ann['id'] for ann in anns], dtype=np.int64)[order],
        np.array([ann['area'] for ann in anns], dtype=float)[order],
        scores[order],
        np.array([bool(ann.get('iscrowd', 0)) for ann in anns], dtype=bool)[order],
        np.searchsorted(group[order], np.arange(len(classes) * num_images + 1)),
        num_images,
    )


@dataclass(frozen=True)
class FlatMatches:
    """Every detection with the object it is matched to at one IoU threshold, in one area range.

    Args:
        gt_ids: COCO id of the object, 0 without one, shape (num_detections,).
        ious: IoU with it, 0 without one, shape (num_detections,).
        is_ignored: Whether the detection counts neither as true nor as false, same shape.
        counts_gt: Whether an object counts in the area range, shape (num_objects,).
    """

    gt_ids: np.ndarray
    ious: np.ndarray
    is_ignored: np.ndarray
    counts_gt: np.ndarray


class FlatMatching:
    """Greedy matching of COCO from tables of IoUs, each table used for many area ranges.

    Detections choose in descending order of score: a free object that counts before an ignored
    one, then the highest IoU, then the later object. That order of wishes does not depend on what
    is still free, so that the n-th detections of all images and classes can choose together.

    Args:
        gt: Objects.
        dt: Detections.
        tables: Group number and IoUs of every image and class with both, rows in the order of
            ``dt``, columns in that of ``gt``.
    """

    def __init__(
        self,
        gt: FlatAnnotations,
        dt: FlatAnnotations,
        tables: Iterable[tuple[int, np.ndarray]],
    ) -> None:
        self.gt, self.dt = gt, dt
        groups, ious = [], []
        for group, table in tables:
            groups.append(group)
            ious.append(np.ravel(table))
        groups = np.array(groups, dtype=int)
        num_columns = np.diff(gt.starts)[groups]
        sizes = np.array([len(table) for table in ious], dtype=int)
        if not np.array_equal(np.diff(dt.starts)[groups] * num_columns, sizes):
            raise ValueError('the tables of IoUs do not fit the objects and detections')
        # place of an entry in its table, as row and column
        place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        row, column = np.divmod(place, np.repeat(num_columns, sizes))
        self._dets = row + np.repeat(dt.starts[groups], sizes)
        self._objects = column + np.repeat(gt.starts[groups], sizes)
        self._ious = np.concatenate([*ious, np.zeros(0)])

    def match(self, iou_thr: float, area_range: Sequence[float]) -> FlatMatches:
        """Match at one IoU threshold and in one area range.

        Args:
            iou_thr: Smallest IoU of a match.
            area_range: Smallest and largest area that counts, in pixels, both included.
        """
        ignored_gt = self.gt.is_crowd | self.gt.outside(area_range)
        near = self._ious >= min(iou_thr, 1 - 1e-10)  # pycocotools' own limit
        dets, objects, ious = self._dets[near], self._objects[near], self._ious[near]
        # How many detections of the image and class chose before: the turn of a choice
        choosers, of_chooser = np.unique(dets, return_inverse=True)
        turn = _rank_in_group(self.dt.groups[choosers])[of_chooser]
        order = np.lexsort((-objects, -ious, ignored_gt[objects], dets, turn))
        dets, objects, ious = dets[order], objects[order], ious[order]
        limits = np.searchsorted(turn[order], np.arange(turn.max(initial=-1) + 2))

        chosen = []
        is_free = np.ones(len(self.gt.ids), dtype=bool)
        for start, stop in pairwise(limits):
            possible = start + np.flatnonzero(is_free[objects[start:stop]])
            possible = possible[_is_first(dets[possible])]
            # a crowd can be matched again and again
            is_free[objects[possible]] = self.gt.is_crowd[objects[possible]]
            chosen.append(possible)
        chosen = np.concatenate([*chosen, np.zeros(0, dtype=int)])

        gt_ids = np.zeros(len(self.dt.ids), dtype=np.int64)
        matched_ious = np.zeros(len(self.dt.ids))
        is_ignored = np.zeros(len(self.dt.ids), dtype=bool)
        gt_ids[dets[chosen]] = self.gt.ids[objects[chosen]]
        matched_ious[dets[chosen]] = ious[chosen]
        is_ignored[dets[chosen]] = ignored_gt[objects[chosen]]
        is_ignored |= (gt_ids == 0) & self.dt.outside(area_range)
        return FlatMatches(gt_ids, matched_ious, is_ignored, ~ignored_gt)

    def class_matches(self, matches: FlatMatches, class_index: int, max_dets: int) -> ClassMatches:
        """Counted detections of one class; as ``LRPMatching.class_matches``.

        Args:
            matches: What :meth:`match` has found.
            class_index: Index in the evaluated categories.
            max_dets: Detections of an image beyond this many best ones do not exist.
        """
        place = self.dt.of_class(class_index)
        kept = _rank_in_group(self.dt.groups[place]) < max_dets
        kept &= ~matches.is_ignored[place]
        scores = self.dt.scores[place][kept]
        order = np.argsort(-scores, kind='stable')
        num_gt = int(np.count_nonzero(matches.counts_gt[self.gt.of_class(class_index)]))
        return ClassMatches(
            scores[order],
            matches.gt_ids[place][kept][order] != 0,
            matches.ious[place][kept][order],
            self.dt.ids[place][kept][order],
            num_gt,
        )


def _is_first(sorted_values: np.ndarray) -> np.ndarray:
    """Whether a value is the first of its equals."""
    return np.append(True, sorted_values[1:] != sorted_values[:-1])[: len(sorted_values)]


def _rank_in_group(sorted_groups: np.ndarray) -> np.ndarray:
    """Number of earlier members of the same group, for every member."""
    firsts = np.flatnonzero(_is_first(sorted_groups))
    lengths = np.diff(np.append(firsts, len(sorted_groups)))
    return np.arange(len(sorted_groups)) - np.repeat(firsts, lengths)
