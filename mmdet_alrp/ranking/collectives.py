"""Collectives of a ranking over several processes: they exchange positives and small tables."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_processes(values: Tensor, group: dist.ProcessGroup | bool) -> Tensor:
    """Add up a tensor of all processes, which must all call this.

    Args:
        values: Of one shape in all processes.
        group: Process group; True takes the default one.
    """
    values = values.clone()
    dist.all_reduce(values, group=None if group is True else group)
    return values


class Processes:
    """The processes of one ranking, each with its own positives.

    Every method is a collective: all processes call it, in the same order. The constructor reads
    the numbers of positives on the host, which waits for the device.

    Args:
        group: Process group; True takes the default one.
        num_local: Number of positives of this process; may be 0.
        num_logits: Number of logits of this process; may be 0.
        can_fuse: Whether this process can rank by Triton's kernels.
        device: Where the tensors are.

    Attributes:
        num_pos: Number of positives of all processes.
        num_logits: Number of logits of all processes.
        can_fuse: Whether all processes can rank by Triton's kernels. The other way exchanges other
            tables, so all must go the same.
        local: Where those of this process stand among them, a slice.
    """

    def __init__(
        self,
        group: dist.ProcessGroup | bool,
        num_local: int,
        num_logits: int,
        can_fuse: bool,
        device: torch.device,
    ) -> None:
        self._group = None if group is True else group
        mine = torch.tensor([num_local, num_logits, can_fuse], device=device)
        counts = [torch.empty_like(mine) for _ in range(dist.get_world_size(self._group))]
        dist.all_gather(counts, mine, group=self._group)
        self._counts, logits, able = torch.stack(counts, 1).tolist()
        self.can_fuse = all(able)
        self.num_logits = sum(logits)
        position = dist.get_rank(self._group)
        start = sum(self._counts[:position])
        self.num_pos = sum(self._counts)
        self.local = slice(start, start + num_local)

    def all_gather(self, values: Tensor) -> Tensor:
        """Put the values of all positives together, (num_local,) to (num_pos,)."""
        padded = values.new_zeros(max(self._counts))
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in self._counts]
        dist.all_gather(parts, padded, group=self._group)
        return torch.cat([part[:n] for part, n in zip(parts, self._counts, strict=True)])

    def sum(self, table: Tensor) -> Tensor:
        """Add up a table of all processes."""
        return sum_over_processes(table, True if self._group is None else self._group)

    def max(self, table: Tensor) -> Tensor:
        """Take the largest entries over all processes."""
        table = table.clone()
        dist.all_reduce(table, dist.ReduceOp.MAX, group=self._group)
        return table
