"""Base of the metrics of label maps: reads samples, adds up images, reports classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from .samples import read_labels


class LabelMapMetric(BaseMetric):
    """Base of metrics that compare label maps and are computed from counts over a data set.

    An image's result is a small table of counts, so collecting from several processes is cheap and
    the figures do not depend on the split. Predictions must have the size of the targets, as those
    of MMSegmentation have.

    Args:
        metrics: Which figures are reported; all if not given.
        ignore_index: Target of pixels that do not count; None counts all.
        num_classes: Number of classes; that of the data set's ``classes`` if not given.
        classwise: Whether figures of each class are reported as well, ``{figure}_{class}`` (NaN
            for a class that takes no part), and written to the log as a table.
        pred_key: Name of the predicted label map in a data sample.
        target_key: Name of the true label map in a data sample.
        prefix: Stands before the names of the figures, with a slash; needed beside MMSegmentation's
            ``IoUMetric``, whose percentages have the same names.
        **kwargs: ``collect_device`` and ``collect_dir`` of ``BaseMetric``.

    Raises:
        ValueError: If a metric is unknown; when evaluating, if sizes differ, a label that counts
            is out of range, or a sample lacks one of the maps.
    """

    known_metrics: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        metrics: str | Sequence[str] | None = None,
        ignore_index: int | None = 255,
        num_classes: int | None = None,
        classwise: bool = False,
        pred_key: str = 'pred_sem_seg',
        target_key: str = 'gt_sem_seg',
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if metrics is None:
            metrics = self.known_metrics
        self.metrics = [metrics] if isinstance(metrics, str) else list(metrics)
        if not self.metrics or not set(self.metrics) <= set(self.known_metrics):
            known = ', '.join(self.known_metrics)
            raise ValueError(f'metrics must be some of {known}; got {metrics!r}')
        self.ignore_index = ignore_index
        self.num_classes = num_classes
        self.classwise = classwise
        self.pred_key = pred_key
        self.target_key = target_key

    @abstractmethod
    def count(self, pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
        """Return the counts of one image, rows by classes, int64, shape (rows, c).

        Args:
            pred: Predicted class indices, shape (1, h, w).
            target: True class indices or the ignored one, same shape.
            num_classes: Number of classes c.
        """

    @abstractmethod
    def figures(self, counts: Tensor) -> dict[str, float]:
        """Return the figures of a data set by their names.

        Args:
            counts: Of :meth:`count`, summed over the images, shape (rows, c).
        """

    @abstractmethod
    def class_figures(self, counts: Tensor) -> dict[str, Tensor]:
        """Return the figures of the classes by their names, each of shape (c,).

        Args:
            counts: Of :meth:`count`, summed over the images, shape (rows, c).
        """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch, one result an image.

        Args:
            data_batch: Not needed.
            data_samples: Dictionaries with the predicted and the true label map, (1, h, w).

        Raises:
            ValueError: If the number of classes is not known, sizes differ, a label that counts is
                out of range, or a sample lacks one of the maps.
        """
        num_classes = self._count_classes()
        for sample in data_samples:
            pred, target = read_labels(sample, self.pred_key, self.target_key)
            self.results.append(self.count(pred, target, num_classes).cpu())

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Add up the images and compute the figures.

        Args:
            results: Counts, one table an image.

        Returns:
            The figures by their names without ``prefix``, fractions in [0, 1], unrounded.

        Raises:
            ValueError: If there is no image.
        """
        if not results:
            raise ValueError('no image was evaluated: nothing to measure')
        counts = torch.stack(results).sum(0)
        figures = self.figures(counts)
        figures = {name: figures[name] for name in self.metrics}
        if self.classwise:
            figures.update(self._report_classes(counts))
        return figures

    def _count_classes(self) -> int:
        if self.num_classes is not None:
            return self.num_classes
        names = (self.dataset_meta or {}).get('classes')
        if not names:
            raise ValueError(
                "the data set's metainfo names no classes: give the data set its classes, or "
                f'{type(self).__name__} num_classes'
            )
        return len(names)

    def _report_classes(self, counts: Tensor) -> dict[str, float]:
        num_classes = counts.shape[1]
        names = [str(name) for name in (self.dataset_meta or {}).get('classes') or ()]
        if len(names) != num_classes:
            names = [str(index) for index in range(num_classes)]
        table = {name: values.tolist() for name, values in self.class_figures(counts).items()}
        width = max(map(len, ['class', *names]))
        lines = ['  '.join([f'{"class":<{width}}', *(f'{figure:>6}' for figure in table)])]
        for name, *row in zip(names, *table.values(), strict=True):
            lines.append('  '.join([f'{name:<{width}}', *(f'{value:6.4f}' for value in row)]))
        MMLogger.get_current_instance().info('\n' + '\n'.join(lines))
        return {
            f'{figure}_{name}': value
            for figure, values in table.items()
            for name, value in zip(names, values, strict=True)
        }
