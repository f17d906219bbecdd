"""Registered models: ranking losses and the heads that they train."""

from .dense_heads import RankingHeadMixin, RankingRetinaHead, RetinaATSSHead
from .losses import ALRPLoss

__all__ = ['ALRPLoss', 'RankingHeadMixin', 'RankingRetinaHead', 'RetinaATSSHead']
