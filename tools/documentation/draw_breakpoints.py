"""Draw how the ramps of three positives cut the axis of scores into bins: docs/images."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / 'docs' / 'images' / 'breakpoints.png'
sys.path.insert(0, str(ROOT))

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.ranking import (
    average_precision_loss,
    build_ranking,
    interpolated_average_precision_terms,
)

POSITIVES = (-1.2, 0.4, 1.0)  # logits
DELTA = 1.0
NUM_NEGATIVES = 40
COLOURS = ('#0072B2', '#E69F00', '#009E73')  # Okabe-Ito
INK = '#333333'


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets of the drawing: the three positives, then 40 negatives."""
    generator = torch.Generator().manual_seed(0)
    negatives = torch.randn(NUM_NEGATIVES, generator=generator, dtype=torch.float64) * 1.2 - 1
    logits = torch.cat([torch.tensor(POSITIVES, dtype=torch.float64), negatives])
    targets = (torch.arange(len(logits)) < len(POSITIVES)).long()
    return logits.requires_grad_(), targets


def draw_ramps(axes: Axes, grid: np.ndarray, counts: np.ndarray, edges: np.ndarray) -> None:
    """Draw the steps H(s - s_i), and how many negatives each bin holds."""
    for index, (score, colour) in enumerate(zip(POSITIVES, COLOURS, strict=True), 1):
        step = np.clip((grid - score) / (2 * DELTA) + 0.5, 0, 1)
        axes.plot(grid, step, color=colour, lw=2, label=f'$H(s - s_{index})$')
        axes.plot(score, 0.5, 'o', color=colour)
    limits = np.concatenate([grid[:1], edges, grid[-1:]])
    for left, right, count in zip(limits[:-1], limits[1:], counts, strict=True):
        axes.text((left + right) / 2, 1.08, str(count), ha='center', color=INK, size=9)
    axes.text(grid[0] - 0.1, 1.08, 'negatives:', ha='right', color=INK, size=9)
    axes.set(ylabel='step of a positive', ylim=(-0.05, 1.2))
    axes.legend(loc='center left', frameon=False)


def draw_gradient(
    axes: Axes, grid: np.ndarray, logits: torch.Tensor, targets: torch.Tensor
) -> None:
    """Draw the gradient that each negative gets, and the straight lines that they lie on."""
    ranking = build_ranking(logits, targets, DELTA)
    terms = interpolated_average_precision_terms(ranking)
    share = (terms.errors / terms.normalizer / ranking.num_fp).numpy()
    steps = np.clip((grid[:, None] - np.array(POSITIVES)) / (2 * DELTA) + 0.5, 0, 1)
    axes.plot(grid, steps @ share, color='#BBBBBB', lw=2)
    (grad,) = torch.autograd.grad(average_precision_loss(logits, targets, DELTA), logits)
    negatives = logits[targets == 0].detach().numpy()
    order = np.argsort(negatives)
    heights = grad[targets == 0].numpy()
    axes.plot(negatives[order], heights[order], 'o', color=INK, ms=4, mfc='white')
    axes.set(ylabel='gradient of a negative', xlabel='logit s of a negative')


def draw(out: Path) -> None:
    """Write the drawing; there is no half of it."""
    logits, targets = example()
    bins = build_ranking(logits, targets, DELTA).bins
    edges = bins.edges.numpy()
    mass, _ = bins.histogram(bins.locate(logits[targets == 0]))
    grid = np.linspace(-3.6, 2.8, 641)
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 5.2), sharex=True, dpi=130)
    draw_ramps(upper, grid, mass.int().numpy(), edges)
    draw_gradient(lower, grid, logits, targets)
    for axes in (upper, lower):
        for edge in edges:
            axes.axvline(edge, color='#AAAAAA', lw=0.8, ls=':')
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_xlim(grid[0], grid[-1])
    figure.align_ylabels()
    figure.tight_layout()
    with atomic_write(out) as draft:
        figure.savefig(draft, format='png', metadata={'Software': None})
    plt.close(figure)


if __name__ == '__main__':
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
