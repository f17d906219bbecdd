"""The rows of the ablation, and the config of one run of a row."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mmdet_alrp.cli.run_config import use_mixed_precision
from mmdet_alrp.command_line import UsageError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'ablation'


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        label: What the table calls it.
        config: Beginning of the names of its configs.
    """

    label: str
    config: str


ROWS = {
    'ce_giou': Row('cross entropy + GIoU', 'ce_giou_retinanet'),
    'focal_l1': Row('focal + L1', 'focal_l1_retinanet'),
    'focal_giou': Row('focal + GIoU', 'focal_giou_retinanet'),
    'ap_smooth_l1': Row('AP Loss + Smooth L1', 'ap_smooth_l1_retinanet'),
    'ap_giou_sb': Row('AP Loss + GIoU, SB', 'ap_giou_sb_retinanet'),
    'alrp_iou': Row('aLRP (IoU), no SB', 'alrp_iou_retinanet'),
    'alrp_iou_sb': Row('aLRP (IoU), SB', 'alrp_iou_sb_retinanet'),
    'alrp_giou_sb': Row('aLRP (GIoU), SB', 'alrp_giou_sb_retinanet'),
    'alrp_giou_sb_atss': Row('aLRP (GIoU), SB, ATSS', 'alrp_giou_sb_retinanet_atss'),
    'ndcg_giou_sb': Row('NDCG + GIoU, SB', 'ndcg_giou_sb_retinanet'),
    'rs_giou': Row('Rank & Sort (GIoU)', 'rs_giou_retinanet'),
}
# Cross entropy is in no table of the paper: it is there for the figure of the balance.
TABLE_ROWS = [name for name in ROWS if name != 'ce_giou']
TWIN = 'focal_giou'  # times of a step are told as ratios to this row
DATA_ROOTS = {'shapes': Path('data/shapes'), 'bccd': Path('data/bccd')}
SPLITS = ('train', 'val')


def config_file(row: str, data: str) -> Path:
    """Path of a row's config for one of the data sets."""
    return CONFIGS / f'{ROWS[row].config}_r18_{data}.py'


class Settings(NamedTuple):
    """What all runs of an ablation have in common.

    Attributes:
        data: Key of ``DATA_ROOTS``.
        data_root: Folder of the data set.
        epochs: Length of a run; None takes the config's.
        amp: Train with mixed precision.
        options: Settings with dots in their names that replace those of the configs.
    """

    data: str
    data_root: Path
    epochs: int | None
    amp: bool
    options: dict


def row_config(row: str, settings: Settings) -> Config:
    """Config of a row; rows differ in nothing but what their files say.

    Raises:
        UsageError: If the file is missing or an option does not fit it.
    """
    path = config_file(row, settings.data)
    if not path.is_file():
        raise UsageError(f'{path} is missing: run the ablation in a whole checkout')
    cfg = Config.fromfile(path)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(settings.data_root)
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = str(settings.data_root / 'val.json')
    fit_length(cfg, settings.epochs or cfg.train_cfg.max_epochs)
    for key in settings.options:
        if key.partition('.')[0] not in cfg:
            raise UsageError(f'--cfg-options: {path.name} has no key {key.partition(".")[0]!r}')
    try:
        cfg.merge_from_dict(settings.options)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UsageError(f'--cfg-options does not fit {path.name}: {reason}') from None
    if settings.amp:
        use_mixed_precision(cfg)
    return cfg


def fit_length(cfg: Config, epochs: int) -> None:
    """Set the length of a run and of its schedule; it is judged at the end alone."""
    full = cfg.train_cfg.max_epochs
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    for scheduler in cfg.param_scheduler:
        for key in ('end', 'T_max'):
            if scheduler.by_epoch and scheduler.get(key) == full:
                scheduler[key] = epochs
    cfg.default_hooks.checkpoint.update(interval=max(1, epochs // 10), max_keep_ckpts=1)


def data_stamp(root: Path) -> str:
    """What tells one data set from another: a digest of its annotations.

    Raises:
        UsageError: If they are not there.
    """
    digest = hashlib.sha256()
    for split in SPLITS:
        try:
            digest.update((root / f'{split}.json').read_bytes())
        except OSError as error:
            raise UsageError(
                f'{root}: {split}.json cannot be read ({error.strerror}): give its folder with '
                '--data-root; `python tools/make_shapes.py data/shapes` draws the shapes'
            ) from None
    return digest.hexdigest()
