"""What is searched: curves of the metrics of one target as a list of numbers in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdet_alrp.segmentation.losses.surrogate_parameters import (
    SurrogateParameters,
    metric_weights,
    num_parameters,
)

_LOGIT_RANGE = 3.0  # Neighbouring steps then differ by up to e^6 = 403 times.
_MARGIN = 0.01  # A mean at 0 or 1 itself could not move away again.


@dataclass(frozen=True)
class SearchSpace:
    """All curves that a search may choose from.

    A sample is a list of numbers in [0, 1]: ``theta`` of each metric, one metric after the other.
    Only the logits of monotone linear curves are no such numbers; the sample 0..1 stands for
    -3..3. The paper draws these from a normal distribution without bounds; here one policy, and
    random search, serve all spaces.

    Args:
        target_metric: mIoU, FWIoU, BIoU, BF1, mAcc or gAcc, or a dict of them with their weights in
            a sum.
        parameterization: 'bezier' or 'linear'.
        segments: Segments of a curve; None is 2 Bezier or 5 linear ones.
        truth_table: Keep g(0) = 0 and g(1) = 1.
        monotone: Keep curves from falling.

    Raises:
        ValueError: If an argument is not as said here, or leaves nothing to search, in one line.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, Sec. 4.2, Appendix B; the switches are those of its
        ablation, Sec. 5.3.
    """

    target_metric: str | Mapping[str, float]
    parameterization: str = 'bezier'
    segments: int | None = None
    truth_table: bool = True
    monotone: bool = True

    def __post_init__(self) -> None:
        """Check everything by decoding the start."""
        if not isinstance(self.target_metric, str):
            object.__setattr__(self, 'target_metric', metric_weights(self.target_metric))
        for key in ('truth_table', 'monotone'):
            if not isinstance(getattr(self, key), bool):
                raise ValueError(f'{key} must be True or False, got {getattr(self, key)!r}')
        for metric in self.metric_weights:
            num_parameters(metric, *self._options)
        if self.parameterization == 'linear' and self.segments == 1 and self.truth_table:
            raise ValueError('one linear segment from (0, 0) to (1, 1) leaves nothing to search')
        self.decode(self.start)

    @property
    def metric_weights(self) -> dict[str, float]:
        """The metrics in the order of a sample, with their weights in the target."""
        return metric_weights(self.target_metric)

    @property
    def size(self) -> int:
        """How many numbers a sample has."""
        return sum(num_parameters(metric, *self._options) for metric in self.metric_weights)

    @property
    def start(self) -> tuple[float, ...]:
        """Sample whose curves are the diagonal, g(x) = x, from which the paper's policy starts.

        Ends that are free start 0.01 from theirs, and the curves so much from the diagonal.
        """
        curves = [
            SurrogateParameters(metric, [0.5] * size, None, *self._options).num_curves
            for metric in self.metric_weights
            if (size := num_parameters(metric, *self._options))
        ]
        return self._start_of_curve() * sum(curves)

    def decode(self, sample: Sequence[float]) -> dict[str, SurrogateParameters]:
        """Say what a sample stands for.

        Args:
            sample: ``size`` numbers in [0, 1].

        Returns:
            The parameters of each metric.

        Raises:
            ValueError: If ``sample`` is no such list.
        """
        if len(sample) != self.size:
            raise ValueError(f'a sample of this space has {self.size} numbers, got {len(sample)}')
        if not all(0 <= value <= 1 for value in sample):
            raise ValueError(f'the numbers of a sample must be in [0, 1], got {list(sample)}')
        numbers = list(map(float, sample))
        if self._holds_logits:
            numbers = [_LOGIT_RANGE * (2 * value - 1) for value in numbers]
        found, first = {}, 0
        for metric in self.metric_weights:
            last = first + num_parameters(metric, *self._options)
            found[metric] = SurrogateParameters(metric, numbers[first:last], None, *self._options)
            first = last
        return found

    @property
    def _options(self) -> tuple[str, int | None, bool, bool]:
        return self.parameterization, self.segments, self.truth_table, self.monotone

    @property
    def _holds_logits(self) -> bool:
        return self.parameterization == 'linear' and self.monotone

    def _start_of_curve(self) -> tuple[float, ...]:
        size = num_parameters('gAcc', *self._options)
        inner = size if self.truth_table else size - 2
        if self._holds_logits:
            numbers = [0.5] * inner
        elif self.parameterization == 'linear':
            numbers = [(index + 1) / (inner + 1) for index in range(inner)]
        else:
            numbers = []
            for index in range(inner // 2):
                share = 1 / (inner // 2 + 1 - index)
                height = (index + 1) / (inner // 2 + 1)
                numbers += [share, share if self.monotone else height]
        if self.truth_table:
            return tuple(numbers)
        # Logits of two more steps, both small, or the two heights.
        return (_MARGIN, *numbers, _MARGIN if self._holds_logits else 1 - _MARGIN)
