"""Registered ranking losses."""

from .alrp_loss import ALRPLoss
from .self_balance import SelfBalance

__all__ = ['ALRPLoss', 'SelfBalance']
