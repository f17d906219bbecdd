"""Torchvision's RetinaNet and FCOS with a ranking loss, beside their own focal loss.

    python tools/make_shapes.py data/shapes
    python examples/torchvision_retinanet.py data/shapes

Both losses train the same small network from scratch on the same images for the same number of
steps; AP and oLRP on the validation images are printed for each. What to copy into a project of
your own is RankingRetinaNet, or RankingFCOS. Needs torch, torchvision and this package; neither
MMDetection nor mmcv.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pycocotools.coco import COCO
from torch import Tensor, nn
from torchvision.io import read_image
from torchvision.models import resnet18
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import box_iou

from mmdet_alrp.criteria import ALRPCriterion
from mmdet_alrp.evaluation import evaluate_lrp, load_detections

STRIDES = (8, 16, 32, 64)


# What to copy: 20 lines for RetinaNet


class RankingRetinaNet(RetinaNet):
    """RetinaNet whose two losses come from a ranking criterion; all else is torchvision's."""

    def __init__(self, *args: Any, criterion: nn.Module, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.criterion = criterion

    def compute_loss(self, targets: list, head_outputs: dict, anchors: list) -> dict[str, Tensor]:
        """Rank all anchors, classes and images of the batch."""
        logits, deltas = head_outputs['cls_logits'], head_outputs['bbox_regression']
        indices, true_boxes = [], []
        for target, priors in zip(targets, anchors, strict=True):
            matched = torch.full((len(priors),), -1, device=logits.device)  # -1: background
            if len(target['boxes']):  # -2: between the thresholds
                matched = self.proposal_matcher(box_iou(target['boxes'], priors))
            labels = matched.new_full(matched.shape, logits.size(2))  # C: background
            labels[matched == -2] = -1  # takes no part
            labels[matched >= 0] = target['labels'][matched[matched >= 0]]
            indices.append(labels)
            true_boxes.append(target['boxes'][matched[matched >= 0]])
        indices = torch.cat(indices)
        positive = (indices >= 0) & (indices < logits.size(2))
        boxes = self.box_coder.decode_single(
            deltas.flatten(0, 1)[positive], torch.cat(anchors)[positive]
        )
        losses = self.criterion(logits.flatten(0, 1), indices, boxes, torch.cat(true_boxes))
        return {'classification': losses.loss_cls, 'bbox_regression': losses.loss_bbox}


# and 30 for FCOS


class RankingFCOS(FCOS):
    """FCOS whose losses come from a ranking criterion, without centerness in its scores."""

    def __init__(self, *args: Any, criterion: nn.Module, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.criterion = criterion
        self.head.compute_loss = self.ranking_loss
        self.head.regression_head.bbox_ctrness.requires_grad_(False)
        self.head.register_forward_hook(without_centerness)

    def ranking_loss(
        self, targets: list, head_outputs: dict, anchors: list, matched_idxs: list
    ) -> dict[str, Tensor]:
        """Rank all points, classes and images of the batch; a match of -1 is background."""
        logits, distances = head_outputs['cls_logits'], head_outputs['bbox_regression']
        indices, true_boxes = [], []
        for target, matched in zip(targets, matched_idxs, strict=True):
            labels = matched.new_full(matched.shape, logits.size(2))  # C: background
            labels[matched >= 0] = target['labels'][matched[matched >= 0]]
            indices.append(labels)
            true_boxes.append(target['boxes'][matched[matched >= 0]])
        indices = torch.cat(indices)
        positive = indices < logits.size(2)
        boxes = self.head.box_coder.decode(
            distances.flatten(0, 1)[positive], torch.cat(anchors)[positive]
        )
        losses = self.criterion(logits.flatten(0, 1), indices, boxes, torch.cat(true_boxes))
        return {'classification': losses.loss_cls, 'bbox_regression': losses.loss_bbox}


def without_centerness(
    head: nn.Module, inputs: Any, outputs: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Give every point one centerness: a ranking loss has put the class scores alone in order."""
    outputs['bbox_ctrness'] = torch.full_like(outputs['bbox_ctrness'], 20.0)
    return outputs


# The comparison


def build(detector: str, loss: str, num_classes: int, balance_every: int) -> nn.Module:
    """Build a small detector of a ResNet-18 without pretrained weights."""
    body = resnet18(norm_layer=nn.BatchNorm2d)
    layers = {'layer2': '0', 'layer3': '1', 'layer4': '2'}
    backbone = BackboneWithFPN(body, layers, [128, 256, 512], 64)
    options: dict[str, Any] = {'score_thresh': 0.001, 'detections_per_img': 100}
    options.update(min_size=160, max_size=160, num_classes=num_classes)
    ranking = {'criterion': ALRPCriterion(balance_every=balance_every)} if loss == 'alrp' else {}
    if detector == 'fcos':
        sizes = tuple((stride,) for stride in STRIDES)
        options['anchor_generator'] = AnchorGenerator(sizes, ((1.0,),) * len(STRIDES))
        return (RankingFCOS if ranking else FCOS)(backbone, **options, **ranking)
    sizes = tuple((2 * stride, int(2 * stride * 2**0.5)) for stride in STRIDES)
    options['anchor_generator'] = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(STRIDES))
    return (RankingRetinaNet if ranking else RetinaNet)(backbone, **options, **ranking)


class Shapes:
    """Images of a split with their boxes, as torchvision's detectors take them.

    Args:
        root: Folder that ``tools/make_shapes.py`` has written.
        split: 'train' or 'val'.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.coco = COCO(root / f'{split}.json')
        self.folder = root / split
        self.ids = sorted(self.coco.imgs)
        self.categories = sorted(self.coco.cats)

    def __getitem__(self, image_id: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Read an image, (3, height, width) in [0, 1], and its boxes and labels."""
        image = read_image(str(self.folder / self.coco.imgs[image_id]['file_name'])) / 255
        found = [a for a in self.coco.imgToAnns[image_id] if not a.get('iscrowd', 0)]
        boxes = torch.tensor([a['bbox'] for a in found]).reshape(-1, 4).float()
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.tensor([self.categories.index(a['category_id']) for a in found]).long()
        return image, {'boxes': boxes, 'labels': labels}

    def batches(self, size: int, steps: int, seed: int) -> Iterator[list]:
        """Yield ``steps`` random batches; half of the images are mirrored."""
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            chosen = torch.randint(len(self.ids), (size,), generator=generator).tolist()
            mirror = torch.rand(size, generator=generator) < 0.5
            batch = [self[self.ids[index]] for index in chosen]
            for (image, target), flip in zip(batch, mirror.tolist(), strict=True):
                if flip:
                    image.copy_(image.flip(2))
                    target['boxes'][:, [0, 2]] = image.size(2) - target['boxes'][:, [2, 0]]
            yield batch


def train(model: nn.Module, data: Shapes, args: argparse.Namespace) -> None:
    """Train with AdamW and a cosine schedule, as both losses like it."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=args.steps, pct_start=0.1
    )
    start = time.perf_counter()
    for step, batch in enumerate(data.batches(args.batch, args.steps, args.seed), 1):
        images, targets = ([pair[part] for pair in batch] for part in (0, 1))
        losses = model(
            [image.to(args.device) for image in images],
            [{key: value.to(args.device) for key, value in target.items()} for target in targets],
        )
        optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if step % max(1, args.steps // 10) == 0:
            shown = ', '.join(f'{name} {loss.item():.3f}' for name, loss in losses.items())
            print(f'  step {step}, {time.perf_counter() - start:.0f} s: {shown}', flush=True)


@torch.no_grad()
def evaluate(model: nn.Module, data: Shapes, args: argparse.Namespace) -> dict[str, float]:
    """Return AP, oLRP and their parts on all images of a split."""
    model.eval()
    detections = []
    for image_id in data.ids:
        image, _ = data[image_id]
        (found,) = model([image.to(args.device)])
        boxes = found['boxes'].cpu()
        boxes[:, 2:] -= boxes[:, :2]
        rows = zip(boxes.tolist(), found['scores'].tolist(), found['labels'].tolist(), strict=True)
        detections += [
            {
                'image_id': image_id,
                'bbox': box,
                'score': score,
                'category_id': data.categories[label],
            }
            for box, score, label in rows
        ]
    if not detections:
        sys.exit('torchvision_retinanet.py: the detector found nothing: train it for more steps')
    return evaluate_lrp(data.coco, load_detections(data.coco, detections, 'bbox')).summary()


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', type=Path, help='folder written by tools/make_shapes.py')
    parser.add_argument('--detector', choices=('retinanet', 'fcos'), default='retinanet')
    parser.add_argument('--losses', nargs='+', choices=('focal', 'alrp'), default=['focal', 'alrp'])
    parser.add_argument('--steps', type=int, default=600)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    args = parser.parse_args(argv)
    if not (args.data / 'train.json').is_file():
        parser.error(f'{args.data} has no train.json: run python tools/make_shapes.py {args.data}')
    if args.steps < 1 or args.batch < 1:
        parser.error('--steps and --batch must be at least 1')
    return args


def main(argv: list[str] | None = None) -> None:
    """Train and judge the same detector with each loss."""
    args = parse_args(argv)
    data = {split: Shapes(args.data, split) for split in ('train', 'val')}
    figures = {}
    for loss in args.losses:
        torch.manual_seed(args.seed)
        num_classes = len(data['train'].categories)
        model = build(args.detector, loss, num_classes, max(1, args.steps // 100)).to(args.device)
        print(f'{args.detector} with {loss}: {args.steps} steps of {args.batch} images', flush=True)
        train(model, data['train'], args)
        figures[loss] = evaluate(model, data['val'], args)
    names = ('AP', 'AP50', 'AP75', 'oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN', 'rho')
    print(f'{"":6}' + ''.join(f'{name:>9}' for name in names))
    for loss, row in figures.items():
        print(f'{loss:6}' + ''.join(f'{row[name]:9.3f}' for name in names))
    if args.json:
        draft = args.json.with_name(args.json.name + '.draft')
        draft.write_text(json.dumps(figures, indent=1) + '\n', 'utf-8')
        draft.replace(args.json)


if __name__ == '__main__':
    main()
