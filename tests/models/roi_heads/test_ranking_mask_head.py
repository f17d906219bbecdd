import math

import pytest
import torch
from tiny_roi_heads import (
    MASK,
    box_head,
    features,
    proposals,
    rank_sort_masks,
    sampled,
    samples,
    truths,
)

from mmdet_alrp.models.roi_heads.ranking_mask_head import draw_positives


@pytest.fixture
def step():
    """A step of the second stage: its head, losses, logits of the masks and sampling results."""
    roi_head = rank_sort_masks()
    seen = {}

    def keep(module, args, output):
        output.retain_grad()
        seen['logits'] = output

    roi_head.mask_head.register_forward_hook(keep)
    losses = roi_head.loss(features(), proposals(), samples(truths()))
    return roi_head, losses, seen['logits'], sampled(proposals(), truths())


def dice_by_hand(logits, target):
    """Dice loss of a mask by plain loops over its pixels, with squares in the denominator."""
    probs = [1 / (1 + math.exp(-x)) for x in logits.flatten().tolist()]
    true = target.flatten().tolist()
    common = math.fsum(p * t for p, t in zip(probs, true, strict=True))
    squares = math.fsum(p * p for p in probs) + math.fsum(t * t for t in true)
    return 1 - 2 * common / (squares + 1e-5)


def masks_by_hand(roi_head, logits, results):
    """The loss of each mask, and the largest class score of its proposal."""
    gts = [sample.gt_instances for sample in samples(truths())]
    targets = roi_head.mask_head.get_targets(results, gts, roi_head.train_cfg)
    labels = torch.cat([result.pos_gt_labels for result in results])
    losses = [
        dice_by_hand(of_roi[label], target)
        for of_roi, label, target in zip(logits, labels, targets, strict=True)
    ]
    scores = []
    for image, result in enumerate(results):
        rois = torch.cat([torch.full((len(result.pos_priors), 1), image), result.pos_priors], 1)
        with torch.no_grad():
            logits_of_classes = roi_head._bbox_forward(features(), rois)['cls_score']
        scores += [max(row) for row in logits_of_classes.sigmoid().tolist()]
    return losses, scores


def test_masks_weigh_by_their_scores_and_balance_the_ranking(step):
    roi_head, losses, logits, results = step
    own, scores = masks_by_hand(roi_head, logits, results)
    assert len(own) == len(scores) > 4
    assert losses['loss_mask'].item() == pytest.approx(losses['loss_cls'].item(), rel=1e-5)
    losses['loss_mask'].backward()
    mean = sum(w * v for w, v in zip(scores, own, strict=True)) / sum(scores)
    ratio = losses['loss_cls'].item() / mean
    # by the definition of a derivative: move one logit of a mask
    row, pixel = 3, (1, 2)
    label = torch.cat([result.pos_gt_labels for result in results])[row]
    moved, small = logits.detach().double().clone(), 1e-4
    values = []
    for shift in (small, -small):
        moved[row, label][pixel] = logits[row, label][pixel].item() + shift
        values.append(masks_by_hand(roi_head, moved, results)[0][row])
    slope = (values[0] - values[1]) / (2 * small)
    expected = ratio * scores[row] / sum(scores) * slope
    assert abs(expected) > 1e-6
    assert logits.grad[row, label][pixel].item() == pytest.approx(expected, rel=1e-3)


def test_ranking_gets_no_gradient_from_masks(step):
    roi_head, losses, _, _ = step
    parts = [part for name, part in roi_head.bbox_head.named_parameters() if 'fc' in name]
    grads = torch.autograd.grad(losses['loss_mask'], parts, allow_unused=True)
    assert all(grad is None for grad in grads)


def test_at_most_so_many_masks_are_trained():
    roi_head = rank_sort_masks(max_masks=3)
    shapes = []
    roi_head.mask_head.register_forward_hook(lambda *args: shapes.append(len(args[-1])))
    losses = roi_head.loss(features(), proposals(), samples(truths()))
    assert shapes == [3]
    assert losses['loss_mask'].item() == pytest.approx(losses['loss_cls'].item(), rel=1e-5)


def test_drawn_positives_keep_their_objects_and_scores():
    torch.manual_seed(0)
    results = sampled(proposals(), truths())
    counts = [len(result.pos_priors) for result in results]
    whole = torch.cat([result.pos_priors for result in results])
    scores = torch.arange(float(sum(counts)))
    kept, values = draw_positives(results, scores, 4)
    priors = torch.cat([result.pos_priors for result in kept])
    assert len(priors) == len(values) == 4
    torch.testing.assert_close(priors, whole[values.long()])
    for name in ('pos_assigned_gt_inds', 'pos_gt_labels'):
        of_all = torch.cat([getattr(result, name) for result in results])
        of_kept = torch.cat([getattr(result, name) for result in kept])
        torch.testing.assert_close(of_kept, of_all[values.long()])
    assert [len(result.pos_priors) for result in results] == counts  # those stay as they are
    assert draw_positives(results, scores, sum(counts)) == (results, scores)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'max_masks': 0}, 'max_masks must be a positive integer, got 0'),
        ({'mask_head': MASK['mask_head']}, 'needs a RankingFCNMaskHead'),
        ({'mask_roi_extractor': None}, 'needs a mask_roi_extractor'),
        (
            {
                'bbox_head': box_head(
                    'Shared2FCBBoxHead',
                    loss_cls={'type': 'CrossEntropyLoss'},
                    loss_bbox={'type': 'L1Loss'},
                )
            },
            'got Shared2FCBBoxHead',
        ),
    ],
)
def test_arguments_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        rank_sort_masks(**changes)
    assert '\n' not in str(caught.value)


def test_a_mean_over_pixels_is_told_apart_from_a_loss_a_mask():
    mask_head = {**MASK['mask_head'], 'type': 'RankingFCNMaskHead'}
    mask_head['loss_mask'] = {'type': 'MSELoss'}
    roi_head = rank_sort_masks(mask_head=mask_head)
    with pytest.raises(ValueError, match='one value a mask, such as DiceLoss'):
        roi_head.loss(features(), proposals(), samples(truths()))
