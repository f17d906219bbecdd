"""Registered models: ranking losses and the heads that they train."""

from .dense_heads import RankingHeadMixin, RankingRetinaHead
from .losses import ALRPLoss

__all__ = ['ALRPLoss', 'RankingHeadMixin', 'RankingRetinaHead']
