"""Ranking losses in pure PyTorch: AP, aLRP and NDCG over one common frame."""

from .errors import (
    alrp_box_weights,
    alrp_terms,
    average_precision_terms,
    interpolated_average_precision_terms,
    ndcg_terms,
)
from .frame import ErrorTerms, Ranking, error_driven_loss
from .functional import alrp_loss, average_precision_loss, ndcg_loss

__all__ = [
    'ErrorTerms',
    'Ranking',
    'alrp_box_weights',
    'alrp_loss',
    'alrp_terms',
    'average_precision_loss',
    'average_precision_terms',
    'error_driven_loss',
    'interpolated_average_precision_terms',
    'ndcg_loss',
    'ndcg_terms',
]
