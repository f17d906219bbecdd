"""Builds the ranking of a batch, with Triton's kernels where they are faster."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from . import fused_passes
from .checks import check_options, check_pos_values, check_ranking, checked_labels
from .class_targets import ClassTargets
from .collectives import Processes
from .error_driven import at_least_float32
from .fused import FusedRanking
from .options import RankingOptions
from .relations import Ranking


def build_ranking(
    logits: Tensor,
    targets: Tensor | ClassTargets,
    delta: float,
    options: RankingOptions | None = None,
    **pos_values: Tensor,
) -> Ranking | None:
    """Rank positives and negatives: what every ranking loss is made of.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,); or class indices.
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        options: Images, processes and error distribution; None takes the defaults.
        **pos_values: Further tensors of the loss, such as ``ious=ious``, that must be floating
            point and have one value a positive. They are checked, not used.

    Returns:
        The ranking; None if there is no positive, with ``options.group`` in any process.

    Raises:
        ValueError: If shapes disagree, ``delta`` or ``options.error_skew`` is not a finite number
            >= 0, or ``options`` has images without their number or together with a group.
        TypeError: If ``logits`` or one of ``pos_values`` is not floating point, or ``targets`` or
            the images are not integer tensors.
    """
    options = options or RankingOptions()
    check_ranking(logits, targets, delta)
    check_options(logits, targets, options)
    if isinstance(targets, ClassTargets):
        pos_index = targets.pos_index
    else:
        pos_index = (targets == 1).nonzero().squeeze(1)
    for name, values in pos_values.items():
        check_pos_values(name, values, len(pos_index))
    fused = fused_passes.can_fuse(logits, delta)
    num_pos, processes = len(pos_index), None
    if options.over_processes:
        processes = Processes(options.group, num_pos, len(logits), fused, logits.device)
        num_pos, fused = processes.num_pos, processes.can_fuse
    if num_pos == 0:
        return None
    if fused and num_pos <= fused_passes.MAX_POSITIVES:
        return FusedRanking(logits, targets, delta, pos_index, options, processes)
    if isinstance(targets, ClassTargets):
        if options.images is not None:
            options = replace(options, images=targets.of_logits(options.images))
        targets = targets.flat()
    return Ranking(at_least_float32(logits), targets, delta, pos_index, options, processes)


def build_ranking_by_iou(
    logits: Tensor,
    targets: Tensor | ClassTargets,
    ious: Tensor,
    delta: float,
    options: RankingOptions | None = None,
    **pos_values: Tensor,
) -> tuple[Ranking | None, Tensor]:
    """Rank positives that have an IoU, and those with an IoU of exactly 0 as negatives.

    The host waits for the device, for the number of positives that are left.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,); or class indices.
        ious: Labels of the positives in the order of ``targets``, in [0, 1], shape (num_pos,).
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        options: Images, processes and error distribution; None takes the defaults.
        **pos_values: Further tensors of the loss that must be floating point and have one value for
            each positive of ``targets``. They are checked, not used.

    Returns:
        The ranking, None if there is no positive with an IoU above 0 (with ``options.group`` in any
        process), and the labels of its positives, shape (num_local,).

    Raises:
        ValueError: If shapes disagree, ``delta`` or ``options.error_skew`` is not a finite number
            >= 0, ``options`` has images without their number or together with a group, or, on the
            CPU, an IoU is outside [0, 1].
        TypeError: If ``logits``, ``ious`` or one of ``pos_values`` is not floating point, or
            ``targets`` or the images are not integer tensors.
    """
    check_ranking(logits, targets, delta)
    by_class = isinstance(targets, ClassTargets)
    pos_index = targets.pos_index if by_class else (targets == 1).nonzero().squeeze(1)
    for name, values in {'ious': ious, **pos_values}.items():
        check_pos_values(name, values, len(pos_index))
    ious = checked_labels(at_least_float32(ious))
    hits = (ious != 0).nonzero().squeeze(1)
    if len(hits) < len(pos_index):
        if by_class:
            targets = targets.with_positives(hits)
        else:
            targets = targets.index_fill(0, pos_index, 0).index_fill(0, pos_index[hits], 1)
        ious = ious[hits]
    return build_ranking(logits, targets, delta, options), ious
