"""The code of docs/plain_pytorch.md runs, and a detector of Hugging Face learns with it."""

import pytest
import torch
from page_commands import python_blocks
from torch import nn

from mmdet_alrp.criteria import RankedLosses
from mmdet_alrp.ranking import rank_sort_loss

PAGE = 'docs/plain_pytorch.md'


def test_first_blocks_run_as_one_program():
    first, several, _ = python_blocks(PAGE)
    names = {}
    exec(compile(first, PAGE, 'exec'), names)
    assert names['logits'].grad.abs().sum() > 0 and names['boxes'].grad.abs().sum() > 0
    assert (names['logits'].grad[300:400] == 0).all()
    exec(compile(several, PAGE, 'exec'), names)

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 20)
            self.criterion = names['global_criterion']

        def forward(self, features):
            boxes = names['boxes'].detach()[:300]
            indices = names['class_indices'][: len(features)]
            return self.criterion(self.head(features), indices, boxes, names['target_boxes'])

    model = Detector()
    before = model.head.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler(enabled=False)
    names['training_step'](model, torch.randn(1000, 4), optimizer, scaler)
    assert isinstance(model(torch.randn(1000, 4)), RankedLosses)
    assert not torch.equal(model.head.weight, before)


@pytest.fixture(scope='module')
def detr():
    transformers = pytest.importorskip('transformers', reason='the page shows a detector of it')
    names = {}
    exec(compile(python_blocks(PAGE)[2], PAGE, 'exec'), names)
    backbone = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 32, 64],
        depths=[1, 1, 1, 1],
        layer_type='basic',
        out_features=['stage2', 'stage3', 'stage4'],
    )
    config = transformers.DeformableDetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        num_queries=20,
        num_labels=5,
        auxiliary_loss=True,
        num_feature_levels=3,
    )
    torch.manual_seed(0)
    model = transformers.DeformableDetrForObjectDetection(config)
    return names['train_with_ranking'](model).train(), names


def labels():
    boxes = torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.6, 0.6, 0.3, 0.2]])
    return [
        {'class_labels': torch.tensor([0, 3]), 'boxes': boxes},
        {'class_labels': torch.tensor([2]), 'boxes': boxes[:1] + 0.1},
    ]


def test_each_layer_is_a_ranking_of_its_own(detr):
    model, _ = detr
    given = []
    forward = model.criterion.forward

    def note(*args):
        given.append(args)
        return forward(*args)

    model.criterion.forward = note
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    output = model(pixel_values=images, labels=labels())
    del model.criterion.forward
    assert len(given) == 2  # decoder layers
    for number, (logits, indices, boxes, wanted) in enumerate(given):
        assert (indices < 5).sum() == 3 and len(indices) == 2 * 20
        targets = nn.functional.one_hot(indices, 6)[:, :5].flatten()
        shared = (torch.minimum(boxes, wanted)[:, 2:] - torch.maximum(boxes, wanted)[:, :2]).clamp(
            0
        )
        areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, wanted)]
        ious = shared.prod(1) / (sum(areas) - shared.prod(1))
        positive = targets == 1
        targets[positive.nonzero()[:, 0][ious == 0]] = 0
        expected = sum(rank_sort_loss(logits.flatten(), targets, ious[ious > 0].detach()))
        torch.testing.assert_close(output.loss_dict[f'loss_cls_{number}'], expected)
    torch.testing.assert_close(output.loss, sum(output.loss_dict.values()))


def test_a_batch_without_objects_trains(detr):
    model, _ = detr
    empty = [{'class_labels': torch.zeros(0).long(), 'boxes': torch.zeros(0, 4)}] * 2
    output = model(pixel_values=torch.randn(2, 3, 64, 64), labels=empty)
    assert output.loss == 0
    output.loss.backward()


def test_the_detector_learns_two_images(detr):
    model, _ = detr
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-3)
    seen = []
    for _ in range(30):
        output = model(pixel_values=images, labels=labels())
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        seen.append(output.loss.item())
    assert min(seen[-5:]) < 0.8 * seen[0]
