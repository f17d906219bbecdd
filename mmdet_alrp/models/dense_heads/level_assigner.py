"""Gives assigners that work level by level the level sizes that AnchorHead does not pass on."""

from __future__ import annotations

import inspect
from typing import Any


def needs_levels(assigner: Any) -> bool:
    """Tell whether ``assigner.assign`` wants to know how many priors each level has."""
    return 'num_level_priors' in inspect.signature(assigner.assign).parameters


class LevelAssigner:
    """An assigner such as ATSSAssigner behind the interface of one such as MaxIoUAssigner.

    MMDetection's AnchorHead hands its assigner (priors, ground truth, ignored ground truth).
    ATSSAssigner takes the level sizes in second place; called that way it finds the ground truth
    there, takes the empty list of ignored boxes for the ground truth and assigns no positive.

    Args:
        assigner: The assigner to call.

    Attributes:
        num_level_priors: Number of priors of each level in the next image, set by the head.
    """

    def __init__(self, assigner: Any) -> None:
        self.assigner = assigner
        self.num_level_priors: list[int] = []

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None
    ) -> Any:
        """Assign the priors of one image, level by level."""
        return self.assigner.assign(
            pred_instances, self.num_level_priors, gt_instances, gt_instances_ignore
        )
