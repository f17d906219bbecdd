"""Ranking losses in pure PyTorch: AP, aLRP, NDCG and Rank & Sort with one error-driven update."""

from .box_means import weighted_box_mean
from .class_targets import ClassTargets
from .error_driven import ErrorTerms, at_least_float32, error_driven_loss, zero_loss
from .errors import (
    alrp_box_weights,
    alrp_terms,
    average_precision_terms,
    interpolated_average_precision_terms,
    ndcg_terms,
    rank_sort_ranking_terms,
    sorting_terms,
)
from .functional import (
    alrp_loss,
    average_precision_loss,
    ndcg_loss,
    rank_sort_loss,
    rank_sort_losses,
)
from .options import RankingOptions
from .ranking_building import build_ranking, build_ranking_by_iou
from .relations import Ranking

rank, rank_by_iou = build_ranking, build_ranking_by_iou  # their names before

__all__ = [
    'ClassTargets',
    'ErrorTerms',
    'Ranking',
    'RankingOptions',
    'alrp_box_weights',
    'alrp_loss',
    'alrp_terms',
    'at_least_float32',
    'average_precision_loss',
    'average_precision_terms',
    'build_ranking',
    'build_ranking_by_iou',
    'error_driven_loss',
    'interpolated_average_precision_terms',
    'ndcg_loss',
    'ndcg_terms',
    'rank_sort_loss',
    'rank_sort_losses',
    'rank_sort_ranking_terms',
    'sorting_terms',
    'weighted_box_mean',
    'zero_loss',
]
