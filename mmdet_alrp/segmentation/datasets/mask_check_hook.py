"""The hook that looks at the labels of a batch of masks before the model does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdet_alrp.engine.wrapped_models import bare_detector

from .image_mask import ImageMaskError


@HOOKS.register_module(force=True)
class MaskCheckHook(Hook):
    """Checks the masks of each training batch while they are still on the CPU.

    A label outside the classes of a decode head ends in an index error deep in a loss, on CUDA in
    a device assertion that names nothing. Here the run ends with one line that names the mask.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Find out how many classes the heads have."""
        model = bare_detector(runner.model)
        self._head, self._num_classes, self._ignored = _classes_of(model)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Check one batch.

        Args:
            runner: The runner.
            batch_idx: Not needed.
            data_batch: What the data loader gives, before the data preprocessor has it.

        Raises:
            ImageMaskError: If a label is none of the head's classes.
        """
        samples = data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None
        if self._num_classes is None or not isinstance(samples, (list, tuple)):
            return
        for sample in samples:
            truth = getattr(sample, 'gt_sem_seg', None)
            if truth is None or truth.data.device.type != 'cpu':
                return  # reading it would wait for the device
            wrong = self._wrong_label(truth.data)
            if wrong is not None:
                message = self._message(sample, wrong)
                runner.logger.error(message)  # a tool's last word is the first process's
                raise ImageMaskError(message)

    def _wrong_label(self, labels: Tensor) -> int | None:
        wrong = (labels < 0) | (labels >= self._num_classes)
        if self._ignored is not None:
            wrong &= labels != self._ignored
        return int(labels[wrong][0]) if bool(wrong.any()) else None

    def _message(self, sample: Any, label: int) -> str:
        path = getattr(sample, 'seg_map_path', None)
        name = Path(path).name if isinstance(path, str) else 'a mask without a path'
        ignored = '' if self._ignored is None else f' ({self._ignored} is ignored)'
        return (
            f'{name}: the mask has label {label}, but {self._head} has '
            f'num_classes={self._num_classes}, labels 0 to {self._num_classes - 1}{ignored}: make '
            "num_classes and the labels of the data set's masks agree"
        )


def _classes_of(model: nn.Module) -> tuple[str, int | None, int | None]:
    """Return name, number of classes and ignored label of the head that knows fewest classes."""
    heads = [
        (f'{path} ({type(module).__name__})', module.num_classes, module.ignore_index)
        for path, module in model.named_modules()
        if type(getattr(module, 'num_classes', None)) is int and hasattr(module, 'loss_decode')
    ]
    return min(heads, key=lambda head: head[1], default=('', None, None))
