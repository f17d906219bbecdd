"""examples/torchvision_retinanet.py: trains, ranks what torchvision matched, and works in DDP."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from in_processes import run_in_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmdet_alrp.criteria import ALRPCriterion, giou_loss
from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.ranking import alrp_loss

pytest.importorskip('torchvision', reason='the example needs torchvision')
ROOT = Path(__file__).resolve().parents[2]
DETECTORS = ('retinanet', 'fcos')
every_detector = pytest.mark.parametrize('detector', DETECTORS)


def load_example():
    path = ROOT / 'examples' / 'torchvision_retinanet.py'
    spec = importlib.util.spec_from_file_location('torchvision_example', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('example') / 'shapes'
    write_shapes(folder, ShapesOptions(train=6, val=3, width=96, height=96))
    return folder


@every_detector
def test_both_losses_train_and_are_judged(detector, data, tmp_path, capsys):
    figures = tmp_path / 'figures.json'
    options = ['--detector', detector, '--steps', '3', '--batch', '2', '--json', str(figures)]
    load_example().main([str(data), *options, '--device', 'cpu'])
    printed = capsys.readouterr().out
    assert 'oLRP' in printed and '\nfocal ' in printed and '\nalrp ' in printed
    found = json.loads(figures.read_text('utf-8'))
    assert set(found) == {'focal', 'alrp'}
    assert all(0 <= row['oLRP'] <= 1 for row in found.values())


def batch(num_images=4):
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 96, 96, generator=generator) for _ in range(num_images)]
    targets = []
    for index in range(num_images):
        corners = 50 * torch.rand(index, 2, generator=generator)  # the first has no object
        sides = 15 + 25 * torch.rand(index, 2, generator=generator)
        boxes = torch.cat([corners, corners + sides], 1)
        targets.append({'boxes': boxes, 'labels': torch.arange(index) % 3})
    return images, targets


def tiny(example, detector, scope='process'):
    torch.manual_seed(0)
    model = example.build(detector, 'alrp', 3, balance_every=2).train()
    model.criterion = ALRPCriterion(scope=scope, balance_every=2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # so that a batch in two parts is the same batch
    return model


def by_hand(model, detector, images, targets):
    """The losses of the ranking core on torchvision's own matching, image by image."""
    given = {}
    head, owner = model.head, (model if detector == 'retinanet' else model.head)
    compute_loss = owner.compute_loss

    def note(targets, head_outputs, anchors, *more):
        given.update(targets=targets, outputs=head_outputs, anchors=anchors, more=more)
        return compute_loss(targets, head_outputs, anchors, *more)

    owner.compute_loss = note
    losses = model(images, targets)
    owner.compute_loss = compute_loss
    flat, wanted, boxes, true_boxes = [], [], [], []
    for image, (target, anchors) in enumerate(zip(given['targets'], given['anchors'], strict=True)):
        logits = given['outputs']['cls_logits'][image]
        codes = given['outputs']['bbox_regression'][image]
        if detector == 'fcos':
            matched = given['more'][0][image]
        elif len(target['boxes']):
            from torchvision.ops import box_iou

            matched = model.proposal_matcher(box_iou(target['boxes'], anchors))
        else:
            matched = torch.full((len(anchors),), -1)
        for row, match in enumerate(matched.tolist()):
            flat.append(logits[row])
            one = torch.full((3,), -1 if match == -2 else 0)
            if match >= 0:
                one[target['labels'][match]] = 1
                coder = model.box_coder if detector == 'retinanet' else head.box_coder
                decode = coder.decode_single if detector == 'retinanet' else coder.decode
                boxes.append(decode(codes[row][None], anchors[row][None])[0])
                true_boxes.append(target['boxes'][match])
            wanted.append(one)
    errors = giou_loss(torch.stack(boxes), torch.stack(true_boxes))
    loss_cls, loss_loc = alrp_loss(torch.cat(flat), torch.cat(wanted), errors)
    return losses, {'classification': loss_cls, 'bbox_regression': 50 * loss_loc}


@every_detector
def test_losses_are_those_of_the_core_on_torchvisions_matching(detector):
    model = tiny(load_example(), detector)
    losses, expected = by_hand(model, detector, *batch())
    assert losses['bbox_regression'] > 0
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-5)


def test_scores_of_fcos_have_no_centerness():
    model = tiny(load_example(), 'fcos').eval()
    images, _ = batch()
    with torch.no_grad():
        found = model(images)
        features = list(model.backbone(model.transform(images)[0].tensors).values())
        logits = model.head.classification_head(features)
    for image, result in enumerate(found):
        best = logits[image].max().sigmoid().sqrt()  # torchvision takes the root of a product
        torch.testing.assert_close(result['scores'].max(), best, rtol=1e-4, atol=1e-4)


def step(model, images, targets):
    model.zero_grad()
    loss = sum(model(images, targets).values())
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    return loss.item(), grads


def train_in_group(rank, world_size):
    found = {}
    for detector in DETECTORS:
        model = tiny(load_example(), detector, 'global')
        model = DistributedDataParallel(model, broadcast_buffers=False)
        images, targets = batch()
        part = slice(2 * rank, 2 * rank + 2)
        loss, grads = step(model, images[part], targets[part])
        found[detector] = loss, {name[7:]: grad.clone() for name, grad in grads.items()}
    return found


def test_two_processes_that_rank_together_are_one_batch(tmp_path):
    both = run_in_processes(train_in_group, 2, tmp_path)
    for detector in DETECTORS:
        loss, grads = step(tiny(load_example(), detector), *batch())
        scale = max(grad.abs().max().item() for grad in grads.values())
        for one in both:
            value, averaged = one[detector]
            assert value == pytest.approx(loss, rel=1e-5)
            for name, grad in grads.items():
                torch.testing.assert_close(averaged[name], grad, rtol=0, atol=1e-5 * scale)


def test_folder_without_shapes_is_told_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        load_example().main([str(tmp_path)])
    assert caught.value.code == 2
    assert 'has no train.json: run python tools/make_shapes.py' in capsys.readouterr().err
