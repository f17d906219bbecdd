"""Ranking losses for any detector: one module from logits and boxes to two losses; torch only."""

from .alrp import ALRPCriterion
from .average_precision import APCriterion, NDCGCriterion
from .balanced import BalancedCriterion
from .box_losses import (
    BOX_LOSSES,
    ciou_loss,
    diou_loss,
    giou_loss,
    iou_loss,
    matched_ious,
)
from .class_targets import class_targets
from .criterion import PositiveBoxes, RankedLosses, RankingCriterion, largest_scores
from .rank_sort import RankSortCriterion
from .self_balance import SelfBalance

__all__ = [
    'BOX_LOSSES',
    'ALRPCriterion',
    'APCriterion',
    'BalancedCriterion',
    'NDCGCriterion',
    'PositiveBoxes',
    'RankSortCriterion',
    'RankedLosses',
    'RankingCriterion',
    'SelfBalance',
    'ciou_loss',
    'class_targets',
    'diou_loss',
    'giou_loss',
    'iou_loss',
    'largest_scores',
    'matched_ious',
]
