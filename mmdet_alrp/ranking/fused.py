"""The ranking of a batch by Triton's kernels: two passes over all logits, and a few small tables.

Chosen by :func:`~mmdet_alrp.ranking.fused_passes.can_fuse` where a GPU and Triton are; everything
else is ranked by :class:`~mmdet_alrp.ranking.relations.Ranking`, against which the kernels are
tested.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .class_targets import ClassTargets
from .collectives import Processes
from .fused_passes import Batch, kernels, on_device_of
from .options import RankingOptions
from .relations import Ranking
from .spreads import Spread
from .step_sums import StepBins

TILE = (8, 256)  # rows and columns that a program compares at once
MIN_CELLS = 64  # of the grid over the breakpoints of an image
MAX_CELLS = 2**14  # of the grid over the breakpoints: 64 KiB, which a first-level cache holds
TABLE_ENTRIES = 2**16  # of all copies of the counters together


class FusedRanking(Ranking):
    """A ranking by Triton's kernels; arguments as of the parent, class indices as they are too."""

    reads_half = True

    def __init__(
        self,
        logits: Tensor,
        targets: Tensor | ClassTargets,
        delta: float,
        pos_index: Tensor,
        options: RankingOptions,
        processes: Processes | None = None,
    ) -> None:
        self._logits = logits.detach().contiguous()
        self.delta = float(delta)
        self.pos_index = pos_index
        self._processes = processes
        self._num_rankings = 1 if options.images is None else options.num_images
        self.step_at_zero = 1.0 if delta == 0 else 0.5
        self._scores = self.all_gather(self._logits.index_select(0, pos_index).float())
        images = self._scores if options.images is None else options.images.contiguous()
        self.pos_images = None
        if options.images is not None:
            rows = targets.pos_rows if isinstance(targets, ClassTargets) else pos_index
            self.pos_images = images.index_select(0, rows).int()
        num_edges = len(self._scores) * (1 if delta == 0 else 2)
        self._num_bins = num_edges + 1
        # Counters in several copies: count and moment of each bin, two counts of what is not
        # finite; then the steps of a search and a count of broken positives.
        copies = max(1, min(64, TABLE_ENTRIES // (2 * num_edges)))
        row = 2 * self._num_bins + 2
        zeros = torch.zeros(copies * row + 2, dtype=torch.int64, device=logits.device)
        self._num_broken = zeros[copies * row + 1 :]
        # All processes count in one unit; no sum of so many offsets overflows.
        num_logits = len(logits) if processes is None else processes.num_logits
        self._bits = 62 - num_logits.bit_length()
        self._place(num_edges)
        self._batch = self._lay_grid(targets, images, options, zeros[copies * row :])
        tables = zeros[: copies * row].view(copies, row)
        table = self._count(tables, skewed=False)
        self.num_fp = self._sum_negatives(table, skewed=False)
        self._num_not_finite = table[-1]
        self._spread = self.num_fp
        if options.error_skew:
            self._find_hardest()
            table = self._count(tables.zero_(), skewed=True)
            self._spread = self._sum_negatives(table, skewed=True)

    def _tiles(self, kernel: Any, rows: int, *args: Any, **options: Any) -> None:
        """Run a kernel that compares ``rows`` rows with all columns, tile by tile."""
        settings = {'DELTA': self.delta, 'BY_IMAGE': self._by_image}
        settings.update(ROWS=TILE[0], COLUMNS=TILE[1], num_warps=8)
        with on_device_of(self._logits):
            kernel[(-(-rows // TILE[0]),)](*args, **settings, **options)

    @property
    def _by_image(self) -> bool:
        return self.pos_images is not None

    @property
    def _image_of_pos(self) -> Tensor:
        return self._scores if self.pos_images is None else self.pos_images

    def _place(self, num_edges: int) -> None:
        """Place positives and breakpoints."""
        count, device = len(self._scores), self._scores.device
        # Every part begins at a multiple of 16 bytes, whatever their number: Triton compiles a
        # kernel again for pointers that do not.
        apart = -(-count // 4) * 4
        whole = torch.empty(3 * apart + num_edges, dtype=torch.int32, device=device)
        self._places, self._starts, self._ends = whole[: 3 * apart].view(3, apart)[:, :count]
        self._edge_images = whole[3 * apart :]
        self._edges = torch.empty(num_edges, device=device)
        self.pos_rank = torch.empty(count, dtype=torch.float64, device=device)
        self._tiles(
            kernels().tables.place_positives, count, self._scores, self._image_of_pos, count,
            self._places, self._starts, self._ends, self._edges, self._edge_images, self.pos_rank,
            self._num_broken,
        )  # fmt: skip

    def _lay_grid(
        self,
        targets: Tensor | ClassTargets,
        images: Tensor,
        options: RankingOptions,
        steps: Tensor,
    ) -> Batch:
        """Lay the grid over the breakpoints in which the logits are searched."""
        num_images, device = self._num_rankings, self._scores.device
        num_cells = max(MIN_CELLS, MAX_CELLS >> (num_images - 1).bit_length())
        cells = torch.empty(num_images * num_cells + 1, dtype=torch.int32, device=device)
        grid = torch.empty(3, device=device)
        block = 1024
        with on_device_of(self._logits):
            kernels().tables.fill_grid[(-(-len(cells) // block),)](
                self._edges, self._edge_images, len(self._edges), num_images, cells, grid, steps,
                DELTA=self.delta, CELLS=num_cells, BLOCK=block,
            )  # fmt: skip
        num_classes = 0
        if isinstance(targets, ClassTargets):
            num_classes, weights = targets.num_classes, targets.weights.contiguous()
            targets = targets.class_indices.contiguous()
        else:
            targets = weights = targets.contiguous()
        return Batch(
            targets, weights, images, num_classes, self._by_image, self.delta == 0,
            float(options.error_skew), num_cells, self._edges, cells, grid, steps, steps,
        )  # fmt: skip

    def _count(self, tables: Tensor, skewed: bool) -> Tensor:
        """Count the negatives of all processes in the bins, int64, shape (2 num_bins + 2,)."""
        self._batch.launch(
            kernels().logits.count_negatives, self._logits, self._batch.skew, tables,
            self._num_bins, self._bits, len(tables), SKEWED=skewed, CROWDED=2,
        )  # fmt: skip
        return self._sum(tables.sum(0))

    def _sum_negatives(self, table: Tensor, skewed: bool) -> Tensor:
        """Return the sum over the negatives above each positive, float64, shape (num_pos,)."""
        count = len(self._scores)
        sums = torch.empty_like(self.pos_rank)
        self._tiles(
            kernels().tables.sum_negatives, count, table, self._num_bins, self._bits, self._edges,
            self._edge_images, self._batch.grid, self._scores, self._image_of_pos, self._starts,
            self._ends, count, self._num_broken, sums, SKEWED=skewed,
        )  # fmt: skip
        return sums

    def _find_hardest(self) -> None:
        """Find the highest negative of each ranking that a step reaches, over all processes."""
        lowest = torch.iinfo(torch.int32).min
        hardest = self._starts.new_full((self._num_rankings,), lowest)
        self._batch = replace(self._batch, hardest=hardest)
        self._batch.launch(kernels().logits.find_hardest, self._logits)
        if self._processes is not None:
            self._batch = replace(self._batch, hardest=self._processes.max(hardest))

    @property
    def num_pos(self) -> int:
        """Number of positives."""
        return len(self._scores)

    @cached_property
    def all_finite(self) -> Tensor:
        """Whether all logits are finite, as the parent has it; of all processes together."""
        return self._num_not_finite == 0

    @cached_property
    def pos_logits(self) -> Tensor:
        """Logits of the positives, float64, shape (num_pos,)."""
        return self._scores.double()

    @cached_property
    def rank(self) -> Tensor:
        """Rank of each positive among positives and negatives, shape (num_pos,)."""
        return self.pos_rank + self.num_fp

    @cached_property
    def bins(self) -> StepBins:
        """The bins of all steps, as the parent has them; the kernels need them not."""
        images = None if self.pos_images is None else self.pos_images.long()
        return StepBins(self._scores, self.delta, images, self._num_rankings)

    @cached_property
    def neg_index(self) -> Tensor:
        """Where the negatives stand that a step reaches, int64; the kernels need it not."""
        ones = self._edges.new_ones(2 * self._num_bins)
        ones[1::2] = 0
        batch = replace(self._batch, skew=0.0)
        return batch.gradient(self._logits, ones, ones[0], torch.float32).nonzero().squeeze(1)

    def spread(self, update: Tensor) -> Spread:
        """Prepare the gradient, as the parent does."""
        update = update.contiguous()
        of_positives = (self.pos_index, self.local(update), self.local(self.num_fp))
        return Spread(self._batch.fill, (self._logits, self._lines(update), *of_positives))

    def _lines(self, update: Tensor) -> Tensor:
        """Return the gradient on negatives as one straight line a bin."""
        lines = self._edges.new_empty(2 * self._num_bins)
        self._tiles(
            kernels().tables.draw_lines, self._num_bins, update, self._spread, self._edges,
            self._edge_images, self._scores, self._image_of_pos, self._starts, self._ends,
            len(self._scores), self._num_bins, lines,
        )  # fmt: skip
        return lines

    def spread_over_negatives(self, errors: Tensor) -> Tensor:
        """Return the gradient on ``neg_index``, as the parent does."""
        factor = torch.ones_like(self._edges[0])
        lines = self._lines(errors.contiguous())
        return self._batch.gradient(self._logits, lines, factor, torch.float32)[self.neg_index]

    # Among positives

    def _pair_sums(self, kind: str, values: Tensor, labels: Tensor | None = None) -> Tensor:
        """Sum values over pairs of positives, float64, shape (num_pos,)."""
        values = values.double().contiguous()
        sums = torch.empty_like(values)
        pairs = kernels().pairs
        self._tiles(
            pairs.pair_sums, len(values), values, self._scores, self._image_of_pos, self._places,
            values if labels is None else labels, len(values), sums, KIND=getattr(pairs, kind),
        )  # fmt: skip
        return sums

    def sum_by_image(self, values: Tensor) -> Tensor:
        """Give every positive the sum over its ranking, as the parent does."""
        if self.pos_images is None:
            return super().sum_by_image(values)
        return self._pair_sums('TOGETHER', values)

    def sum_above(self, values: Tensor) -> Tensor:
        """Sum over the other positives that stand above, as the parent does."""
        return self._pair_sums('ABOVE', values)

    def sum_up_to(self, values: Tensor) -> Tensor:
        """Sum over the positives at or below, as the parent does."""
        return self._pair_sums('UP_TO', values)

    def best_up_to(self, values: Tensor) -> Tensor:
        """Return the best of the positives at or below, as the parent does."""
        return self._pair_sums('BEST_UP_TO', values)

    def label_order(self, labels: Tensor) -> TiledLabelOrder:
        """Compare the positives by score and by label."""
        return TiledLabelOrder(self, labels.double().contiguous())


class TiledLabelOrder:
    """Positives compared by score and by label in tiles, without a table of pairs."""

    def __init__(self, ranking: FusedRanking, labels: Tensor) -> None:
        self._ranking = ranking
        self._labels = labels

    def sums(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Sum as :meth:`~mmdet_alrp.ranking.label_comparison.LabelOrder.sums`."""
        kinds = ('LOWER', 'NOT_LOWER')
        return tuple(self._ranking._pair_sums(kind, values, self._labels) for kind in kinds)

    def spread_over_lower(self, shares: Tensor) -> Tensor:
        """Spread as :meth:`~mmdet_alrp.ranking.label_comparison.LabelOrder.spread_over_lower`."""
        return self._ranking._pair_sums('HIGHER_BELOW', shares, self._labels)
