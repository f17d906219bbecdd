"""Registered hooks."""

from .gradient_balance_hook import GradientBalanceHook
from .self_balance_hook import SelfBalanceHook

__all__ = ['GradientBalanceHook', 'SelfBalanceHook']
