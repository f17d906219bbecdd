"""Sums in bins on a GPU: the same bits in every run, and no queue at a crowded bin.

PyTorch's ``index_add`` lets each summand wait for its bin. In the first steps of a training all
scores are alike, nearly all negatives fall into one bin, and 16 million of them wait for one
address: 60 ms. Here each bin is kept in 64 copies that lie side by side, and neighbours in memory
add to neighbouring copies. The summands are whole numbers, whose sum does not depend on the order
in which they come; floating point numbers are turned into whole multiples of a small unit first.
"""

from __future__ import annotations

import torch
from torch import Tensor

COPIES = 64
BLOCK = 2**22  # values at once: the indices take 8 bytes each
MIN_VALUES_A_BIN = 16  # fewer, and adding up the copies costs more than they save


def counts_in_copies(device: torch.device) -> bool:
    """Tell whether sums in bins are taken here on this device; elsewhere ``index_add`` is best."""
    return device.type == 'cuda'


def bin_counts(bins: Tensor, num_bins: int) -> Tensor:
    """Count the values in each bin, int64, shape (num_bins,).

    Args:
        bins: Bin of each value, int32 or int64, shape (n,).
        num_bins: Number of bins.
    """
    return _whole_sums(bins, None, num_bins)


def bin_sums(bins: Tensor, values: Tensor, num_bins: int) -> Tensor:
    """Sum values in each bin, float64, shape (num_bins,).

    The unit is the largest value over ``2^(62 - log2 n)``: for 16 million values each of them is
    rounded by 2e-12 of the largest, for 2,500 by 4e-16. What is not finite makes all sums NaN or
    infinite.

    Args:
        bins: Bin of each value, int32 or int64, shape (n,).
        values: Floating point, shape (n,).
        num_bins: Number of bins.
    """
    if not len(values):
        return torch.zeros(num_bins, dtype=torch.float64, device=values.device)
    largest = values.abs().amax().double()
    unit = torch.where(largest == 0, 1, largest) / 2.0 ** (62 - len(values).bit_length())
    sums = _whole_sums(bins, (values, unit), num_bins)
    return sums * unit


def _whole_sums(bins: Tensor, scaled: tuple[Tensor, Tensor] | None, num_bins: int) -> Tensor:
    """Sum ones, or values in a unit, in each bin, int64, shape (num_bins,)."""
    copies = COPIES if len(bins) >= MIN_VALUES_A_BIN * num_bins else 1
    sums = torch.zeros(num_bins, copies, dtype=torch.int64, device=bins.device)
    ones = sums.new_ones(1)
    for start in range(0, len(bins), BLOCK):
        index = bins[start : start + BLOCK].long()
        if scaled is None:
            summands = ones.expand_as(index)
        else:
            values, unit = scaled
            summands = (values[start : start + BLOCK].double() / unit).round_().long()
        even = len(index) // copies * copies
        for part, width in ((slice(even), copies), (slice(even, None), len(index) - even)):
            if width:
                rows = summands[part].reshape(-1, width)
                sums[:, :width].scatter_add_(0, index[part].view(-1, width), rows)
    return sums.sum(1)
