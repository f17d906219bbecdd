"""A proxy of two iterations on drawn shapes."""

from pathlib import Path

from mmengine.config import Config

from mmdet_alrp.segmentation.search.proxy import ProxyTask

ROOT = Path(__file__).resolve().parents[3]
DIAGONAL = {'mIoU': {'control_points': [0.25, 0.25, 0.5, 0.5, 0.75, 0.75] * 2}}
BENT = {'mIoU': {'theta': [0.9, 0.1, 0.5, 0.9, 0.2, 0.8] * 2}}


def tiny_config(data, **changes):
    """The config of a search on shapes, made tiny."""
    cfg = Config.fromfile(ROOT / 'configs/segmentation/search/miou_shapes.py')
    cfg.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': str(data),
            'train_dataloader.batch_size': 4,
            'train_dataloader.dataset.pipeline.2.crop_size': (32, 32),
            'train_cfg.max_iters': 2,
            'search.holdout.count': 3,
            **changes,
        }
    )
    return cfg


def task_of(cfg, folder, theta=DIAGONAL, index=0, seed=5):
    """A sample in a folder, with the config beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder / 'proxy.py')
    return ProxyTask(
        0, index, str(folder / 'proxy.py'), theta, seed, str(folder / f'sample_{index}')
    )
