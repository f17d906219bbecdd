"""Says in one line which file a run lacks, before the run fails on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmdet_alrp.command_line import UsageError

from .annotation_checks import check_annotations
from .launch import is_first_process

# What belongs under a data_root of this name
LAYOUTS = {
    'coco': (
        'COCO 2017 (cocodataset.org) goes under {root}: annotations/instances_train2017.json, '
        'annotations/instances_val2017.json, train2017/, val2017/'
    ),
    'shapes': 'draw the data set with: python tools/make_shapes.py {root}',
    'shapes_semantic': (
        'draw the data set with: python tools/make_shapes.py {root} --kind semantic'
    ),
    'shapes_saliency': (
        'draw the data set with: python tools/make_shapes.py {root} --kind saliency'
    ),
    'camvid': (
        'CamVid goes under {root}: images/train/, images/val/, and as PNG of the class indices '
        'masks/train/, masks/val/; 255 is ignored'
    ),
    **dict.fromkeys(
        ('VOC2012', 'cityscapes', 'saliency'),
        'docs/segmentation.md ("Data") says where to get it and how it goes under {root}',
    ),
    **dict.fromkeys(
        ('aquarium', 'bccd', 'deeppcb'),
        'docs/data.md says where to get it and how it goes under {root}; --data-root takes '
        'another folder',
    ),
}


def check_data(cfg: Config, splits: tuple[str, ...]) -> None:
    """Check that the files of the config's data sets are there.

    Args:
        cfg: Config of the run.
        splits: Any of train, val, test: which data loaders and evaluators to look at.

    Raises:
        UsageError: Names the first missing file, what it should hold and where it goes.
    """
    for split in splits:
        loader = cfg.get(f'{split}_dataloader') or {}
        for dataset in _leaf_datasets(loader.get('dataset')):
            _check_dataset(dataset, split)
        evaluators = cfg.get(f'{split}_evaluator') or []
        for evaluator in [evaluators] if isinstance(evaluators, dict) else evaluators:
            path = evaluator.get('ann_file')
            if path and _is_local(path, evaluator) and not os.path.isfile(path):
                raise UsageError(
                    f'{path} is missing: the annotation file of the {split} evaluator; '
                    + _advice(os.path.dirname(path), f'{split}_evaluator.ann_file=FILE')
                )


def _leaf_datasets(dataset: ConfigDict | None) -> Iterator[ConfigDict]:
    """Yield the data sets inside wrappers such as ``RepeatDataset`` and ``ConcatDataset``."""
    if dataset is None:
        return
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    for wrapped in inner:
        yield from _leaf_datasets(wrapped)
    if not inner:
        yield dataset


def dataset_path(dataset: ConfigDict, name: str) -> str:
    """Return a path of a data set's config as MMEngine joins it: under ``data_root``."""
    return os.path.join(dataset.get('data_root') or '', name)


def _check_dataset(dataset: ConfigDict, split: str) -> None:
    root = dataset.get('data_root') or ''
    option = f'{split}_dataloader.dataset.data_root=FOLDER'
    ann_file = dataset.get('ann_file')
    if isinstance(ann_file, str) and ann_file:
        path = dataset_path(dataset, ann_file)
        if _is_local(path, dataset) and not os.path.isfile(path):
            raise UsageError(
                f'{path} is missing: the annotation file of the {split} dataset; '
                + _advice(root, option)
            )
        # Every process would read the same file; for all of COCO that takes seconds.
        if split in ('train', 'val') and os.path.isfile(path) and is_first_process():
            check_annotations(dataset, path)
    if any(step.get('backend_args') for step in dataset.get('pipeline') or ()):
        return  # images come from a store such as LMDB; their folder is only a prefix of its keys
    for key, prefix in (dataset.get('data_prefix') or {}).items():
        path = dataset_path(dataset, prefix) if isinstance(prefix, str) else ''
        if path and _is_local(path, dataset) and not os.path.isdir(path):
            content = 'masks' if key == 'seg_map_path' else 'images'
            raise UsageError(
                f'{path} is missing: the folder of the {split} {content}; ' + _advice(root, option)
            )


def _is_local(path: str, owner: ConfigDict) -> bool:
    return '://' not in path and owner.get('backend_args') is None


def _advice(root: str, option: str) -> str:
    folder = Path(root)
    for candidate in (folder, folder.parent):
        if candidate.name in LAYOUTS:
            return LAYOUTS[candidate.name].format(root=candidate)
    return f'put it there, or say where it is with --cfg-options {option}'
