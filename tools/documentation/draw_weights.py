"""Draw the error of a positive over its rank and its box, and aLRP's box weights: docs/images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / 'docs' / 'images' / 'weights.png'
sys.path.insert(0, str(ROOT))

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.command_line import OneLineParser, fail
from mmdet_alrp.ranking import RankingOptions, alrp_loss, build_ranking
from mmdet_alrp.ranking.errors import alrp_terms

NUM_POSITIVES = 20
BEFORE_EACH = (0, 1, 10)  # negatives before every positive
COLOURS = ('#009E73', '#0072B2', '#D55E00')  # Okabe-Ito
MARKERS = ('^', 'o', 's')
LEVELS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
BRIGHT = 0.7  # from here on the map is too bright for white lines
INK = '#333333'


def error_surface(ranks: torch.Tensor, loc_errors: torch.Tensor) -> torch.Tensor:
    """Error l(i) of a positive with no other positive above it.

    Every pair of a rank and an error is a ranking of its own, of one positive. The false positives
    above it make up its rank; the last of them lies within the step, for ranks between two numbers.

    Args:
        ranks: Ranks from 1 on, float64, shape (r,).
        loc_errors: E(i), float64, shape (e,).

    Returns:
        l(i), shape (e, r).
    """
    num_fp = (ranks - 1).repeat(len(loc_errors))
    cells = torch.arange(len(num_fp))
    full = num_fp.floor().long()
    logits = torch.cat([torch.zeros(len(cells)), 2 * (num_fp - full) - 1, torch.ones(full.sum())])
    targets = (torch.arange(len(logits)) < len(cells)).long()
    images = torch.cat([cells, cells, cells.repeat_interleave(full)])
    options = RankingOptions(images=images, num_images=len(cells))
    ranking = build_ranking(logits, targets, delta=1.0, options=options)
    errors = alrp_terms(ranking, loc_errors.repeat_interleave(len(ranks))).errors
    return errors.reshape(len(loc_errors), len(ranks))


def spread_ranking(before_each: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets of 20 positives, the best first, and negatives spread evenly among them.

    Args:
        before_each: Number of negatives between a positive and the next better one.
    """
    targets = torch.tensor([0] * before_each + [1]).repeat(NUM_POSITIVES)
    return -torch.arange(len(targets), dtype=torch.float64), targets


def box_weights(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Weights w_k: what ``loss_loc`` changes by, over what E(k) changes by, shape (num_pos,).

    The step is hard, so that ranks are whole numbers.
    """
    loc_errors = torch.full((int(targets.sum()),), 0.5, dtype=torch.float64, requires_grad=True)
    _, loss_loc = alrp_loss(logits, targets, loc_errors, delta=0)
    (weights,) = torch.autograd.grad(loss_loc, loc_errors)
    return weights


def draw_surface(axes: Axes) -> None:
    """Draw l(i) as a heat map with contour lines."""
    ranks = torch.logspace(0, 5, 121, base=2, dtype=torch.float64)
    loc_errors = torch.linspace(0, 1, 61, dtype=torch.float64)
    errors = error_surface(ranks, loc_errors).numpy()
    ranks, loc_errors = ranks.numpy(), loc_errors.numpy()
    mesh = axes.pcolormesh(
        ranks, loc_errors, errors, cmap='cividis', vmin=0, vmax=1, shading='gouraud'
    )
    colours = ['white' if level < BRIGHT else INK for level in LEVELS]
    lines = axes.contour(ranks, loc_errors, errors, LEVELS, colors=colours, linewidths=1.2)
    # Half as high as a line begins at rank 1, which puts the numbers one beside the other
    places = [((1 - level / 2) / (1 - level), level / 2) for level in LEVELS]
    axes.clabel(lines, fontsize=8, fmt='%g', manual=places)
    axes.set_xscale('log', base=2)
    ticks = [2**power for power in range(6)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set(xlabel='rank(i) = 1 + false positives above', ylabel='error of the box, E(i)')
    axes.set_title('error l(i) of a positive', fontsize=10)
    axes.figure.colorbar(mesh, ax=axes, label='l(i)')


def draw_box_weights(axes: Axes) -> None:
    """Draw w_k of the same positives among few and many negatives."""
    places = np.arange(1, NUM_POSITIVES + 1)
    for count, colour, marker in zip(BEFORE_EACH, COLOURS, MARKERS, strict=True):
        weights = box_weights(*spread_ranking(count)).numpy()
        label = f'{count * NUM_POSITIVES or "no"} false positives among them'
        axes.plot(places, weights, color=colour, marker=marker, ms=4.5, lw=1.6, label=label)
    axes.axhline(
        1 / NUM_POSITIVES, color='0.5', ls='--', lw=1, label='a mean over the positives: 1 / 20'
    )
    axes.set(xlabel='k: place among the 20 positives, 1 scores best', ylabel='weight $w_k$ of E(k)')
    axes.set_title('weights of the boxes in loss_loc', fontsize=10)
    axes.set(ylim=(0, None), xlim=(0.4, NUM_POSITIVES + 0.6), xticks=[1, 5, 10, 15, 20])
    axes.legend(frameon=False, fontsize=9)
    axes.spines[['top', 'right']].set_visible(False)


def draw(out: Path) -> None:
    """Write the drawing; there is no half of it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), dpi=120, layout='constrained')
    draw_surface(left)
    draw_box_weights(right)
    try:
        with atomic_write(out) as draft:
            figure.savefig(draft, format='png', metadata={'Software': None})
    finally:
        plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    parser = OneLineParser(description=__doc__, prog='draw_weights.py')
    parser.add_argument('out', nargs='?', type=Path, default=OUT, help='picture to write')
    out = parser.parse_args(argv).out
    try:
        draw(out)
    except OSError as error:
        return fail('draw_weights.py', f'{out}: cannot be written: {error.strerror}')
    print(out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
