"""What the command-line tools that run a config share; a stack that does not fit is refused."""

from mmdet_alrp import fitting_stack  # noqa: F401
