"""What the command-line tools that run a config share.

A stack that does not fit is refused, and MMEngine loads its checkpoints on any torch.
"""

from mmdet_alrp import fitting_stack  # noqa: F401
from mmdet_alrp.guards import checkpoint_loading  # noqa: F401
