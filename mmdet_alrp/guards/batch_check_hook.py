"""The hook that looks at the boxes and labels of a batch before the model does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet_alrp.engine.wrapped_models import bare_detector

from .errors import BrokenBatchError


@HOOKS.register_module()
class BatchCheckHook(Hook):
    """Checks the ground truth of each training batch while it is still on the CPU.

    A label outside the classes of the head would train as background, and a coordinate that is NaN
    would match no prior, both in silence: they end the run with one line that names the image.
    Boxes without area or wholly outside their image are taken out, with one warning a run: an
    assigner with ``min_pos_iou=0`` would make every prior that overlaps nothing a positive of such
    a box. MMDetection's ``CocoDataset`` drops them itself; data sets of one's own often do not.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Find out how many classes the heads have."""
        model = bare_detector(runner.model)
        self._head, self._num_classes = _classes_of(model)
        self._num_removed = 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Check one batch; boxes that are no use are taken out of it.

        Args:
            runner: The runner.
            batch_idx: Not needed.
            data_batch: What the data loader gives, before the data preprocessor has it.

        Raises:
            BrokenBatchError: If a label is out of range or a coordinate is not finite.
        """
        for sample in _samples_of(data_batch):
            truth = getattr(sample, 'gt_instances', None)
            if truth is None or 'labels' not in truth or 'bboxes' not in truth:
                continue
            if truth.labels.device.type != 'cpu':
                return  # reading it would wait for the device
            try:
                self._check_labels(truth.labels, sample)
                _check_coordinates(_corners(truth), sample)
            except BrokenBatchError as error:
                runner.logger.error(str(error))  # a tool's last word is the first process's
                raise
            self._remove_empty(runner, sample)

    def _check_labels(self, labels: Tensor, sample: Any) -> None:
        if self._num_classes is None:
            return
        wrong = ((labels < 0) | (labels >= self._num_classes)).nonzero().flatten()
        if len(wrong):
            index = int(wrong[0])
            raise BrokenBatchError(
                f'{_image_of(sample)}: object {index + 1} of {len(labels)} has class index '
                f'{int(labels[index])}, but {self._head} has num_classes={self._num_classes}, '
                f'indices 0 to {self._num_classes - 1}: make num_classes and the classes of the '
                "data set's metainfo agree"
            )

    def _remove_empty(self, runner: Runner, sample: Any) -> None:
        truth = sample.gt_instances
        if _corners(truth).size(-1) != 4:  # rotated boxes
            return
        left, top, right, bottom = _corners(truth).unbind(-1)
        height, width = getattr(sample, 'img_shape', (float('inf'), float('inf')))[:2]
        inside = (right > 0) & (bottom > 0) & (left < width) & (top < height)
        keep = inside & (right > left) & (bottom > top)
        if bool(keep.all()):
            return
        sample.gt_instances = truth[keep]
        if not self._num_removed:
            index = int((~keep).nonzero()[0])
            kind = 'has no area' if bool(inside[index]) else 'lies outside the image'
            box = [round(value, 2) for value in _corners(truth)[index].tolist()]
            runner.logger.warning(
                f'{_image_of(sample)}: box {index + 1} of {len(keep)} {kind}, {box}: such boxes '
                'are left out here and from now on'
            )
        self._num_removed += int((~keep).sum())

    def after_train(self, runner: Runner) -> None:
        """Say how many boxes were taken out."""
        if self._num_removed:
            runner.logger.warning(
                f'BatchCheckHook left out {self._num_removed} boxes without area or outside their '
                'image, counted each time they came'
            )


def _classes_of(model: nn.Module) -> tuple[str, int | None]:
    """Return name and number of classes of the box head that knows fewest, proposals left out."""
    found = [
        (f'{path} ({type(module).__name__})', module.num_classes)
        for path, module in model.named_modules()
        if 'bbox_head' in path
        and type(getattr(module, 'num_classes', None)) is int
        and not isinstance(module, RPNHead)
    ]
    return min(found, key=lambda entry: entry[1], default=('', None))


def _samples_of(data_batch: Any) -> Iterator[Any]:
    samples = data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None
    if isinstance(samples, Sequence):
        yield from samples


def _corners(truth: InstanceData) -> Tensor:
    boxes = truth.bboxes
    return boxes if isinstance(boxes, Tensor) else boxes.tensor


def _check_coordinates(boxes: Tensor, sample: Any) -> None:
    finite = torch.isfinite(boxes).all(-1)
    if not bool(finite.all()):
        index = int((~finite).nonzero()[0])
        raise BrokenBatchError(
            f'{_image_of(sample)}: box {index + 1} of {len(boxes)} is {boxes[index].tolist()}: '
            'coordinates must be finite numbers'
        )


def _image_of(sample: Any) -> str:
    path = getattr(sample, 'img_path', None)
    name = Path(path).name if isinstance(path, str) else 'an image without a path'
    return f'{name} (img_id {getattr(sample, "img_id", "unknown")})'
