"""Which evaluator matches detections: pycocotools, or faster-coco-eval for the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

from pycocotools.coco import COCO
from pycocotools.cocoeval import Params

from .coco_matching import LRPEval
from .lrp_curve import ClassMatches


class LRPEvaluator(Protocol):
    """What a report is made from: pycocotools' evaluator that also knows its matches."""

    tau: float
    calibration: bool
    cocoGt: COCO  # noqa: N815 - pycocotools' name
    params: Params
    eval: dict

    def evaluate(self) -> None:
        """Match detections and ground truth."""

    def accumulate(self) -> None:
        """Fill ``eval`` in the form of pycocotools."""

    def class_matches(
        self, class_index: int, area_index: int, iou_thr: float, max_dets: int
    ) -> ClassMatches:
        """Counted detections of one class in one area range, over all images."""


def _pycocotools() -> type[LRPEvaluator]:
    return LRPEval


def _faster_coco_eval() -> type[LRPEvaluator]:
    if find_spec('faster_coco_eval') is None:
        raise ModuleNotFoundError(
            "the backend 'faster_coco_eval' is not installed: pip install faster-coco-eval",
            name='faster_coco_eval',
        )
    from .faster_matching import FasterLRPEval

    return FasterLRPEval


BACKENDS: dict[str, Callable[[], type[LRPEvaluator]]] = {
    'pycocotools': _pycocotools,
    'faster_coco_eval': _faster_coco_eval,
}


def lrp_evaluator(backend: str) -> type[LRPEvaluator]:
    """Evaluator of a backend.

    Args:
        backend: ``'pycocotools'`` or ``'faster_coco_eval'``.

    Raises:
        ValueError: If the backend is unknown.
        ModuleNotFoundError: If its package is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f'unknown backend {backend!r}; known: {", ".join(BACKENDS)}')
    return BACKENDS[backend]()
