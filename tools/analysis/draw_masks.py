"""Draw what segmentation nets predict on the images of a test beside the truth, on one sheet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
import cv2
import numpy as np
import torch
from draw_detections import captioned, tiled, write_png
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from torch import nn

from mmdet_alrp.cli.checkpoint_files import check_checkpoint
from mmdet_alrp.cli.input_checks import check_data
from mmdet_alrp.cli.run_config import load_config
from mmdet_alrp.cli.run_options import ConfigOptions
from mmdet_alrp.cli.segmentation_runs import check_classes, is_segmentation
from mmdet_alrp.cli.weight_checks import check_weights
from mmdet_alrp.command_line import OneLineParser, UsageError, fail

IGNORED = (255, 255, 255)


def read_methods(texts: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Split NAME=CONFIG=CHECKPOINT.

    Returns:
        Config and checkpoint by name.

    Raises:
        UsageError: If a text has another form, or two have one name.
    """
    methods = {}
    for text in texts:
        name, *files = text.split('=', 2)
        if not name or len(files) != 2 or not all(files):
            raise UsageError(f'a method must be NAME=CONFIG=CHECKPOINT, got {text!r}')
        if name in methods:
            raise UsageError(f'two methods are named {name}')
        methods[name] = (files[0], files[1])
    return methods


def coloured(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Give labels (H, W) the RGB colours of their classes, as BGR; others are white."""
    table = np.full((256, 3), IGNORED, np.uint8)
    table[: len(palette)] = np.array(palette, np.uint8)[:, ::-1]
    return table[labels.astype(np.uint8)]


def predicted(model: nn.Module, dataset: BaseDataset, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Segment one image.

    Args:
        model: Model of MMSegmentation in evaluation mode.
        dataset: Its test data; their pipeline loads the truth as well.
        index: Which image.

    Returns:
        Truth and prediction, BGR (H, W, 3): classes in their colours, or one channel in grey.
    """
    with torch.no_grad():
        sample = model.test_step(pseudo_collate([dataset[index]]))[0]
    palette = dataset.metainfo['palette']
    truth = coloured(sample.gt_sem_seg.data[0].numpy(), palette)
    if sample.seg_logits.data.shape[0] == 1:  # probabilities already
        grey = (sample.seg_logits.data[0].numpy() * 255).round().astype(np.uint8)
        return truth, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    return truth, coloured(sample.pred_sem_seg.data[0].cpu().numpy(), palette)


def draw_masks(
    methods: dict[str, tuple[str, str]], count: int, options: dict | None = None
) -> np.ndarray:
    """Draw one row an image: the image, the truth, and what each method predicts.

    Args:
        methods: Config and checkpoint by name; the first config's test data are drawn.
        count: Number of images, spread evenly over the data.
        options: Settings that replace those of the configs.

    Returns:
        BGR picture.

    Raises:
        UsageError: If a config or checkpoint cannot be used, or the data are missing.
    """
    rows: list[list[np.ndarray]] = []
    for column, (name, (config, checkpoint)) in enumerate(methods.items()):
        cfg = _read_config(config, options)
        check_checkpoint(checkpoint, name)
        model, dataset = _build(cfg, checkpoint)
        if column == 0:
            data = dataset
            picks = np.linspace(0, len(data) - 1, min(count, len(data))).round().astype(int)
            rows = [[] for _ in picks]
        for row, index in zip(rows, picks.tolist(), strict=True):
            truth, prediction = predicted(model, data, index)
            if column == 0:
                image = cv2.imread(data.get_data_info(index)['img_path'])
                row += [captioned(image, 'image'), captioned(truth, 'truth')]
            row.append(captioned(prediction, name))
    return tiled(rows)


def _read_config(path: str, options: dict | None) -> Config:
    """Read one of MMSegmentation's configs, whose test data are there."""
    cfg = load_config(
        argparse.Namespace(
            config=path, cfg_options=options, work_dir=None, launcher='none', local_rank=0
        )
    )
    if not is_segmentation(cfg):
        raise UsageError(f"{path} is no config of MMSegmentation's: see draw_detections.py")
    check_data(cfg, ('test',))
    return cfg


def _build(cfg: Config, checkpoint: str) -> tuple[nn.Module, BaseDataset]:
    from mmseg.apis import init_model

    init_default_scope('mmseg')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = init_model(cfg, checkpoint if '://' in checkpoint else None, device='cpu')
    check_classes(model, dataset)
    check_weights(model, checkpoint, 'checkpoint')  # and loads them
    return model, dataset


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    parser = OneLineParser(description=__doc__, prog='draw_masks.py')
    parser.add_argument('out', type=Path, help='picture to write, .png')
    parser.add_argument('methods', nargs='+', metavar='NAME=CONFIG=CHECKPOINT', help='what to draw')
    parser.add_argument('--count', type=int, default=4, help='number of images (4)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='settings that replace those of the configs, such as the data root',
    )
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f'--count must be at least 1, got {args.count}')
    try:
        picture = draw_masks(read_methods(args.methods), args.count, args.cfg_options)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        print(write_png(args.out, picture))
    except (UsageError, OSError) as error:
        return fail('draw_masks.py', error)
    return 0


if __name__ == '__main__':
    sys.exit(main())
