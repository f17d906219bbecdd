"""Errors that the guards raise."""


class GuardError(Exception):
    """A guard has ended a run; the message says in one line what is wrong and what to do."""


class BrokenBatchError(GuardError, ValueError):
    """A training batch holds a label or box that no head can learn from."""


class CheckpointNotSavedError(GuardError, RuntimeError):
    """A checkpoint could not be saved; the message names the last whole one."""


class NotFiniteError(GuardError, FloatingPointError):
    """A loss, logit or gradient is NaN or infinite; the message says whose and what to do."""
