"""Curves from [0, 1] to [0, 1] that stand for the logical operations of a metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

_Point = tuple[float, float]
_BLOCK = 32768
_SMALLEST_GAP = 1e-4


class Curve:
    """A function given by its control points; call it with a tensor of values in [0, 1].

    Convention:
        Values and gradients have the dtype of the input. At the joint of two segments the gradient
        is that of the left one. The result keeps only its input for the gradient, and on a CPU
        works through it in blocks that fit its cache.

    Args:
        points: Control points (x, y) from x = 0 to x = 1, both ends included, x not decreasing.

    Raises:
        ValueError: If the number of points fits no whole number of segments, or x does not go from
            0 to 1 without decreasing.
    """

    points_per_segment = 1

    def __init__(self, points: Sequence[_Point]) -> None:
        self.points = tuple((float(x), float(y)) for x, y in points)
        places = [x for x, _ in self.points]
        if len(places) < 2 or (len(places) - 1) % self.points_per_segment:
            raise ValueError(f'{len(places)} control points make no whole number of segments')
        rising = all(a <= b for a, b in pairwise(places))
        if places[0] != 0 or places[-1] != 1 or not rising:
            raise ValueError(f'x of control points must rise from 0 to 1, got {places}')

    @property
    def start(self) -> float:
        """Value at 0; 0 under the truth-table constraint."""
        return self.points[0][1]

    @property
    def end(self) -> float:
        """Value at 1; 1 under the truth-table constraint."""
        return self.points[-1][1]

    def __call__(self, values: Tensor) -> Tensor:
        """Evaluate the curve at each of ``values``, any shape."""
        return _Evaluate.apply(values, self)

    def heights(self, values: Tensor) -> Tensor:
        """Evaluate without gradient, shape as ``values``; sub-classes write it."""
        raise TypeError(f'{type(self).__name__} does not say what its values are')

    def slopes(self, values: Tensor) -> Tensor:
        """Evaluate the derivative, shape as ``values``; sub-classes write it."""
        raise TypeError(f'{type(self).__name__} does not say what its slopes are')

    @cached_property
    def _parted(self) -> Sequence[_Point]:
        return _part(self.points)

    def _pick(self, values: Tensor, table: Sequence[Sequence[float]]) -> list[Tensor]:
        """Give each value the coefficients (a row of ``table`` a segment) of its segment."""
        step = self.points_per_segment
        beyond = [values > joint for joint, _ in self._parted[step:-1:step]]
        picked = []
        for column in zip(*table, strict=True):
            # Filled on the device: a tensor made of a number would be copied there.
            first, *others = (values.new_full((), coefficient) for coefficient in column)
            for mask, other in zip(beyond, others, strict=True):
                first = torch.where(mask, other, first)
            picked.append(first)
        return picked


class BezierCurve(Curve):
    """Quadratic Bezier segments; neighbours share a control point.

    With ``x(t) = x0 + 2 (x1 - x0) t + (x0 - 2 x1 + x2) t^2`` the root is taken in the form
    ``t = (x - x0) / (reach + sqrt(reach^2 + bend (x - x0)))``, ``reach = x1 - x0``, ``bend = x0 - 2
    x1 + x2``: equally spaced points (bend 0) divide by nothing and lose no digits. Points closer
    than 1e-4 in x are moved apart by mixing in equal spacing, so that no slope exceeds
    1e4; float32 values are as good as that slope lets them be.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, Eq. 12-13.
    """

    points_per_segment = 2

    @cached_property
    def _table(self) -> list[tuple[float, ...]]:
        """Rows (x0, reach, bend, y0, 2 (y1 - y0), y0 - 2 y1 + y2) of the segments."""
        points = self._parted
        rows = []
        for (x0, y0), (x1, y1), (x2, y2) in zip(
            points[:-2:2], points[1:-1:2], points[2::2], strict=True
        ):
            rows.append((x0, x1 - x0, x0 - 2 * x1 + x2, y0, 2 * (y1 - y0), y0 - 2 * y1 + y2))
        return rows

    @cached_property
    def _smallest_root(self) -> float:
        """A lower bound of the square root: it is linear in t, so least at an end of a segment."""
        return min(min(reach, reach + bend) for _, reach, bend, *_ in self._table)

    def heights(self, values: Tensor) -> Tensor:
        """Evaluate without gradient."""
        times, _, low, rise, sway = self._solve(values)
        return torch.addcmul(low, torch.addcmul(rise, sway, times), times)

    def slopes(self, values: Tensor) -> Tensor:
        """Evaluate the derivative, dy/dt over dx/dt."""
        times, roots, _, rise, sway = self._solve(values)
        return torch.addcmul(rise / 2, sway, times).div_(roots)

    def _solve(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        start, reach, bend, *heights = self._pick(values, self._table)
        beyond = values - start
        roots = torch.addcmul(reach * reach, bend, beyond)
        # Rounding must not make the root of what is at least the bound squared vanish.
        roots = roots.clamp_min_(self._smallest_root**2).sqrt_()
        # Past the end of a segment by rounding alone, a curve would fall.
        return beyond.div_(roots + reach).clamp_max_(1), roots, *heights


class LinearCurve(Curve):
    """Straight segments between the control points.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, Eq. 15-16.
    """

    @cached_property
    def _table(self) -> list[tuple[float, float]]:
        """Rows (intercept, slope) of the segments."""
        rows = []
        for (x0, y0), (x1, y1) in pairwise(self._parted):
            slope = (y1 - y0) / (x1 - x0)
            rows.append((y0 - slope * x0, slope))
        return rows

    def heights(self, values: Tensor) -> Tensor:
        """Evaluate without gradient."""
        intercept, slope = self._pick(values, self._table)
        return torch.addcmul(intercept, slope, values)

    def slopes(self, values: Tensor) -> Tensor:
        """Evaluate the derivative."""
        return self._pick(values, self._table)[1].expand_as(values)


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, curve: Curve) -> Tensor:
        ctx.curve = curve
        ctx.save_for_backward(values)
        return _write_in_blocks(curve.heights, values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        _refuse_second_derivatives()
        slopes = ctx.curve.slopes
        return _write_in_blocks(lambda v, g: slopes(v) * g, *ctx.saved_tensors, grad), None


def in_blocks(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Apply an element-wise function without keeping what it computes on the way.

    Args:
        function: Takes tensors of one shape, gives one of that shape; differentiable.
        *inputs: Tensors of one shape and dtype.

    Returns:
        ``function(*inputs)``; its gradient computes the function once more, block by block.
    """
    return _Recompute.apply(function, *inputs)


class _Recompute(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return _write_in_blocks(function, *inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_second_derivatives()
        inputs = ctx.saved_tensors
        results = [torch.empty_like(values).flatten() for values in inputs]
        for grad_block, *blocks in _blocks(grad, *inputs, *results):
            leaves = [block.detach().requires_grad_() for block in blocks[: len(inputs)]]
            with torch.enable_grad():
                value = ctx.function(*leaves)
            parts = torch.autograd.grad(value, leaves, grad_block)
            for result, part in zip(blocks[len(inputs) :], parts, strict=True):
                result.copy_(part)
        shaped = (r.view(v.shape) for r, v in zip(results, inputs, strict=True))
        return None, *shaped


def _refuse_second_derivatives() -> None:
    """Raise where autograd would build a graph of the gradient, and leave the slopes out of it."""
    if torch.is_grad_enabled():
        raise RuntimeError('curves have no second derivative: leave out create_graph=True')


def _write_in_blocks(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    result = inputs[0].new_empty(inputs[0].shape)
    for block, *blocks in _blocks(result, *inputs):
        block.copy_(function(*blocks))
    return result


def _blocks(*tensors: Tensor) -> zip[tuple[Tensor, ...]]:
    """Cut tensors of one shape into flat blocks; a device with wide memory takes one."""
    size = tensors[0].numel()
    if tensors[0].device.type == 'cpu':
        size = _BLOCK * torch.get_num_threads()
    return zip(*(tensor.reshape(-1).split(max(size, 1)) for tensor in tensors), strict=True)


def _part(points: Sequence[_Point]) -> Sequence[_Point]:
    """Mix equal spacing into x just as far as it takes to part points that (nearly) coincide."""
    count = len(points) - 1
    if min(b[0] - a[0] for a, b in pairwise(points)) >= _SMALLEST_GAP:
        return points
    share = _SMALLEST_GAP * count
    return [((1 - share) * x + share * i / count, y) for i, (x, y) in enumerate(points)]
