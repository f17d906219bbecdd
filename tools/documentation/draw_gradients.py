"""Draw where focal loss and a ranking loss put their gradient: docs/images/gradients.png."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from torch import Tensor

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / 'docs' / 'images' / 'gradients.png'
sys.path.insert(0, str(ROOT))

from mmdet_alrp.ranking import average_precision_loss

NUM_POSITIVES, NUM_NEGATIVES = 60, 100_000
# Mean and standard deviation of the logits: negatives, positives
BATCHES = {'first step': ((-4.6, 0.2), (-4.6, 0.2)), 'later': ((-5.0, 1.3), (0.0, 2.2))}
DELTA = 1.0
NEGATIVE, POSITIVE, INK = '#D55E00', '#0072B2', '#333333'  # Okabe-Ito
EDGES = np.arange(-11, 6.01, 0.5)


def example(batch: str) -> tuple[Tensor, Tensor]:
    """Return normal logits, float64, and targets of a batch, both of shape (n,).

    Args:
        batch: One of ``BATCHES``.
    """
    generator = torch.Generator().manual_seed(0)
    counts = (NUM_NEGATIVES, NUM_POSITIVES)
    parts = [
        torch.randn(count, generator=generator, dtype=torch.float64) * spread + mean
        for count, (mean, spread) in zip(counts, BATCHES[batch], strict=True)
    ]
    targets = (torch.arange(sum(counts)) >= NUM_NEGATIVES).long()
    return torch.cat(parts), targets


def focal_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Gradient of sigmoid focal loss (alpha .25, gamma 2) over the positives, shape (n,)."""
    logits = logits.clone().requires_grad_()
    signs = 2.0 * targets - 1
    missing = torch.sigmoid(-signs * logits)  # 1 - p of the true class
    weights = torch.where(targets == 1, 0.25, 0.75) * missing**2
    loss = -(weights * torch.nn.functional.logsigmoid(signs * logits)).sum() / targets.sum()
    return torch.autograd.grad(loss, logits)[0]


def ranking_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Gradient of AP Loss with each positive's own precision, shape (n,)."""
    logits = logits.clone().requires_grad_()
    loss = average_precision_loss(logits, targets, delta=DELTA, interpolated=False)
    return torch.autograd.grad(loss, logits)[0]


def shares(gradient: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return the shares of positives and negatives in the sum of all absolute gradients."""
    sizes = gradient.abs()
    positives = (sizes[targets == 1].sum() / sizes.sum()).item()
    return positives, 1 - positives


def draw_scores(axes: Axes, logits: Tensor, targets: Tensor) -> None:
    """Draw how many positives and negatives have which logit."""
    for target, colour, name in ((0, NEGATIVE, 'negatives'), (1, POSITIVE, 'positives')):
        chosen = logits[targets == target].numpy()
        label = f'{len(chosen):,} {name}'
        axes.hist(chosen, EDGES, color=colour, alpha=0.75, label=label)
    axes.set_yscale('log')


def draw_gradient(axes: Axes, gradient: Tensor, logits: Tensor, targets: Tensor) -> None:
    """Draw the share of each range of logits: positives are pushed up, negatives down."""
    total = gradient.abs().sum()
    for target, colour, sign in ((0, NEGATIVE, -1), (1, POSITIVE, 1)):
        chosen = targets == target
        weights = (sign * gradient[chosen].abs() / total).numpy()
        axes.hist(logits[chosen].numpy(), EDGES, weights=weights, color=colour, alpha=0.75)
    up, down = shares(gradient, targets)
    style = {'transform': axes.transAxes, 'fontsize': 11, 'ha': 'right', 'va': 'center'}
    axes.text(0.97, 0.85, f'up {up:.0%}', color=POSITIVE, **style)
    axes.text(0.97, 0.15, f'down {down:.0%}', color=NEGATIVE, **style)
    axes.axhline(0, color=INK, lw=0.8)
    limit = 1.1 * max(abs(value) for value in axes.dataLim.intervaly)
    axes.set(ylim=(-limit, limit), yticks=[], ylabel='share of the gradient')


def draw(out: Path) -> None:
    """Write the drawing as PNG."""
    figure, rows = plt.subplots(2, 3, figsize=(9.6, 4.6), dpi=110, layout='constrained')
    for batch, (scores, focal, ranking) in zip(BATCHES, rows, strict=True):
        logits, targets = example(batch)
        draw_scores(scores, logits, targets)
        scores.set_ylabel(f'{batch}\n\npredictions (log)')
        draw_gradient(focal, focal_gradient(logits, targets), logits, targets)
        draw_gradient(ranking, ranking_gradient(logits, targets), logits, targets)
    rows[0, 0].legend(frameon=False, fontsize=8, loc='upper right')
    for axes, title in zip(rows[0], ('scores of a batch', 'focal loss', 'AP Loss'), strict=True):
        axes.set_title(title, fontsize=11)
    for axes in rows.flat:
        axes.set_xlim(EDGES[0], EDGES[-1])
        axes.spines[['top', 'right']].set_visible(False)
    for axes in rows[1]:
        axes.set_xlabel('logit')
    figure.savefig(out, format='png', metadata={'Software': None})
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog='draw_gradients.py')
    parser.add_argument('out', nargs='?', type=Path, default=OUT, help='picture to write')
    out = parser.parse_args(argv).out
    draw(out)
    print(out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
