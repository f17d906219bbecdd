"""The hold-out split: part of the training set judges what the rest has trained."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

PARTS = ('train', 'holdout')
_WRAPPERS = ('dataset', 'datasets')


def split_indices(
    size: int, count: int | None = None, share: float | None = None, seed: int = 0
) -> dict[str, list[int]]:
    """Split a data set at random.

    Args:
        size: Images in the data set.
        count: Images to hold out.
        share: Share of the images to hold out, in (0, 1), instead of ``count``.
        seed: Of the split; the same one gives the same split.

    Returns:
        Rising indices of the parts ``train`` and ``holdout``.

    Raises:
        ValueError: If both or none of ``count`` and ``share`` are given, one of them is not as said
            here, or a part would be empty.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, Sec. 5: 1500 images of VOC, 500 of Cityscapes.
    """
    if (count is None) == (share is None):
        raise ValueError('search.holdout needs either count or share')
    if type(seed) is not int or seed < 0:
        raise ValueError(f'search.holdout.seed must be a whole number >= 0, got {seed!r}')
    if count is None:
        if not isinstance(share, float) or not 0 < share < 1:
            raise ValueError(f'search.holdout.share must be between 0 and 1, got {share!r}')
        count = round(size * share)
    if type(count) is not int or not 0 < count < size:
        raise ValueError(
            f'search.holdout must leave images for both parts: {count!r} of the {size} training '
            'images are to be held out'
        )
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    return {'train': sorted(order[count:]), 'holdout': sorted(order[:count])}


@DATASETS.register_module()
class HoldOutPart(Dataset):
    """One of the two parts of a data set, of any class.

    MMEngine's own ``indices`` would do the same for most, but not for ``ConcatDataset``, and would
    write thousands of numbers into the config of every sample.

    Args:
        dataset: Config of the data set.
        part: 'train' or 'holdout'.
        holdout: Arguments of :func:`split_indices` but ``size``.

    Raises:
        ValueError: As :func:`split_indices`, or if there is no such part.
    """

    def __init__(self, dataset: Mapping[str, Any], part: str, holdout: Mapping[str, Any]) -> None:
        if part not in PARTS:
            raise ValueError(f'part must be one of {", ".join(PARTS)}, got {part!r}')
        self.dataset = DATASETS.build(dataset)
        self.indices = split_indices(len(self.dataset), **holdout)[part]

    @property
    def metainfo(self) -> dict[str, Any]:
        """What the data set says about itself, its classes among others."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        """Count the images of this part."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        """Return a sample of this part."""
        return self.dataset[self.indices[index]]


def hold_out(
    train_dataset: Mapping[str, Any], test_pipeline: list, holdout: Mapping[str, Any]
) -> tuple[ConfigDict, ConfigDict]:
    """Make configs of the two parts of a training set.

    Args:
        train_dataset: Config of the training set, maybe wrapped (``ConcatDataset``).
        test_pipeline: Transforms of the part held out, in place of those of training.
        holdout: Arguments of :func:`split_indices` but ``size``.

    Returns:
        Configs of the part to train on and of the part held out.
    """
    judged = deepcopy(train_dataset)
    _replace_pipelines(judged, test_pipeline)
    return tuple(
        ConfigDict(type='mmengine.HoldOutPart', dataset=dataset, part=part, holdout=holdout)
        for part, dataset in zip(PARTS, (deepcopy(train_dataset), judged), strict=True)
    )


def _replace_pipelines(dataset: Mapping[str, Any], pipeline: list) -> None:
    inner = [dataset[key] for key in _WRAPPERS if key in dataset]
    for entry in inner:
        for part in entry if isinstance(entry, (list, tuple)) else [entry]:
            _replace_pipelines(part, pipeline)
    if inner:
        dataset.pop('pipeline', None)  # of a wrapper such as MultiImageMixDataset
    else:
        dataset.update(pipeline=deepcopy(pipeline), test_mode=True)
