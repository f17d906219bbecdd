"""The criteria against the functions of the core, called by hand on what was matched."""

import math
import warnings

import pytest
import torch
from in_processes import run_in_processes
from torch.nn.parallel import DistributedDataParallel

from mmdet_alrp.criteria import (
    BOX_LOSSES,
    ALRPCriterion,
    APCriterion,
    NDCGCriterion,
    RankSortCriterion,
    giou_loss,
    matched_ious,
)
from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss, rank_sort_loss

CRITERIA = {
    'alrp': ALRPCriterion,
    'ap': APCriterion,
    'ndcg': NDCGCriterion,
    'rs': RankSortCriterion,
}
every_criterion = pytest.mark.parametrize('name', list(CRITERIA))
NUM_ROWS, NUM_CLASSES = 60, 3


def batch(dtype=torch.float64, num_pos=9, seed=0, rows=NUM_ROWS):
    """Logits, class indices, boxes and target boxes, of which one box misses its target."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, NUM_CLASSES, generator=generator, dtype=dtype)
    indices = torch.full((rows,), NUM_CLASSES)
    indices[3 :: rows // max(num_pos, 1)][:num_pos] = torch.arange(num_pos) % NUM_CLASSES
    indices[::10] = -1
    num_pos = int(((indices >= 0) & (indices < NUM_CLASSES)).sum())
    corners = 50 * torch.rand(num_pos, 2, generator=generator, dtype=dtype)
    sides = 10 + 20 * torch.rand(num_pos, 2, generator=generator, dtype=dtype)
    target_boxes = torch.cat([corners, corners + sides], 1)
    boxes = target_boxes + 3 * torch.randn(num_pos, 4, generator=generator, dtype=dtype)
    boxes[2:3] += 500
    return logits, indices, boxes, target_boxes


def flat_targets(indices):
    """Row by row: -1 for what takes no part, 1 for the class of a positive."""
    rows = []
    for index in indices.tolist():
        row = [-1] * NUM_CLASSES if index == -1 else [0] * NUM_CLASSES
        if 0 <= index < NUM_CLASSES:
            row[index] = 1
        rows += row
    return torch.tensor(rows)


def by_hand(name, logits, indices, boxes, target_boxes, tau=0.5):
    """Classification and box loss from the functions, with the weights that are the defaults."""
    targets, flat = flat_targets(indices), logits.flatten()
    losses = giou_loss(boxes, target_boxes)
    if name == 'alrp':
        loss_cls, loss_loc = alrp_loss(flat, targets, losses / 2 / (1 - tau))
        return loss_cls, 50 * loss_loc
    if name in ('ap', 'ndcg'):
        function = {'ap': average_precision_loss, 'ndcg': ndcg_loss}[name]
        return function(flat, targets), losses.mean()
    ious = matched_ious(boxes, target_boxes).detach()
    targets[(targets == 1).nonzero()[:, 0][ious == 0]] = 0
    loss_cls = sum(rank_sort_loss(flat, targets, ious[ious > 0]))
    rows = ((indices >= 0) & (indices < NUM_CLASSES)).nonzero()[:, 0]
    scores = logits.detach()[rows].sigmoid().max(1).values
    mean = (scores * losses).sum() / scores.sum()
    return loss_cls, (loss_cls / mean).detach() * mean


def leaves(logits, indices, boxes, target_boxes):
    return logits.clone().requires_grad_(), indices, boxes.clone().requires_grad_(), target_boxes


@every_criterion
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_losses_and_gradients_are_those_of_the_functions(name, dtype):
    ours, plain = leaves(*batch(dtype)), leaves(*batch(dtype))
    losses = CRITERIA[name](loss_weight=0.3)(*ours)
    expected = by_hand(name, *plain)
    for found, value in zip(losses[:2], expected, strict=True):
        torch.testing.assert_close(found, 0.3 * value)
        options = {'retain_graph': True, 'allow_unused': True, 'materialize_grads': True}
        grads = torch.autograd.grad(found, (ours[0], ours[2]), **options)
        wanted = torch.autograd.grad(0.3 * value, (plain[0], plain[2]), **options)
        torch.testing.assert_close(grads, wanted)
    assert losses.log and not any('loss' in key for key in losses.log)


@pytest.mark.parametrize('box_loss', list(BOX_LOSSES))
@pytest.mark.parametrize('tau', [0.5, 0.7])
def test_localisation_errors_of_alrp(box_loss, tau):
    logits, indices, boxes, target_boxes = batch()
    found = ALRPCriterion(tau=tau, box_loss=box_loss)(logits, indices, boxes, target_boxes)
    errors = BOX_LOSSES[box_loss](boxes, target_boxes) / (1 if box_loss == 'iou' else 2) / (1 - tau)
    loss_cls, loss_loc = alrp_loss(logits.flatten(), flat_targets(indices), errors)
    torch.testing.assert_close(found.loss_cls, loss_cls)
    torch.testing.assert_close(found.loss_bbox, 50 * loss_loc)


@every_criterion
def test_image_scope_is_the_mean_over_images(name):
    logits, indices, boxes, target_boxes = leaves(*batch())
    images = torch.arange(NUM_ROWS) // 25  # of 25, 25 and 10 rows, and a fourth without any
    rows = ((indices >= 0) & (indices < NUM_CLASSES)).nonzero()[:, 0]
    criterion = CRITERIA[name](scope='image')
    found = criterion(logits, indices, boxes, target_boxes, images, 4)
    parts = []
    for image in range(3):
        mine, its = images == image, images[rows] == image
        parts.append(CRITERIA[name]()(logits[mine], indices[mine], boxes[its], target_boxes[its]))
    torch.testing.assert_close(found.loss_cls, sum(part.loss_cls for part in parts) / 4)
    if name != 'rs':  # which has one ratio a step, not one an image
        torch.testing.assert_close(found.loss_bbox, sum(part.loss_bbox for part in parts) / 4)


@every_criterion
def test_without_positives_zero_and_connected(name):
    logits, _, boxes, target_boxes = leaves(*batch())
    indices = torch.full((NUM_ROWS,), NUM_CLASSES)
    losses = CRITERIA[name]()(logits, indices, boxes[:0], target_boxes[:0])
    assert losses.loss_cls == losses.loss_bbox == 0
    grads = torch.autograd.grad(losses.loss_cls + losses.loss_bbox, (logits, boxes))
    assert all((grad == 0).all() for grad in grads)


@every_criterion
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_compute_in_float32(name, dtype):
    logits, indices, boxes, target_boxes = batch(torch.float32)
    full = CRITERIA[name]()(logits.to(dtype).float(), indices, boxes, target_boxes)
    with torch.autocast('cpu', dtype):
        half = CRITERIA[name]()(logits.to(dtype), indices, boxes, target_boxes)
    for found, expected in zip(half[:2], full[:2], strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)


@every_criterion
def test_wrong_input_is_told_in_one_line(name):
    logits, indices, boxes, target_boxes = batch()
    num_pos = len(boxes)
    bad = indices.clone()
    bad[1] = NUM_CLASSES + 1
    cases = [
        (
            (logits, indices.double(), boxes, target_boxes),
            TypeError,
            'class_indices must be an int',
        ),
        ((logits, indices[1:], boxes, target_boxes), ValueError, r'shapes \(n, C\) and \(n,\)'),
        ((logits, indices, boxes[1:], target_boxes), ValueError, rf'boxes .* \({num_pos}, 4\)'),
        ((logits, indices, boxes, target_boxes[1:]), ValueError, 'target_boxes must have one row'),
        ((logits, bad, boxes, target_boxes), ValueError, r'0 to 2, or 3 \(background\), got 4'),
    ]
    for given, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            CRITERIA[name]()(*given)
        assert '\n' not in str(caught.value)
    with pytest.raises(TypeError, match="scope='image' needs"):
        CRITERIA[name](scope='image')(logits, indices, boxes, target_boxes)
    with pytest.raises(ValueError, match='box_loss must be one of iou, giou, diou, ciou'):
        CRITERIA[name](box_loss='l1')
    with pytest.raises(ValueError, match='scope must be one of'):
        CRITERIA[name](scope='epoch')
    with pytest.raises(ValueError, match=r'delta must be .* got -1'):
        CRITERIA[name](delta=-1)


def train(criterion, steps, first=0):
    """Ratios that the criterion had in each step, and the losses that it saw."""
    ratios, seen = [], []
    for seed in range(first, first + steps):
        losses = criterion(*batch(seed=seed))
        ratios.append(losses.log['self_balance_ratio'].item())
        seen.append((losses.loss_cls.item(), losses.log['loc_error'].item()))
    return ratios, seen


def ratio_of(seen):
    return sum(cls + loc for cls, loc in seen) / sum(loc for _, loc in seen)


@pytest.mark.parametrize('kind', [ALRPCriterion, APCriterion, NDCGCriterion])
def test_balance_every_so_many_calls(kind):
    criterion = kind(self_balance=True, balance_every=3)
    ratios, seen = train(criterion, 8)
    expected = [50.0] * 3 + [ratio_of(seen[:3])] * 3 + [ratio_of(seen[3:6])] * 2
    assert ratios == pytest.approx(expected, rel=1e-6)
    criterion.eval()
    before = {key: value.clone() for key, value in criterion.state_dict().items()}
    train(criterion, 5)
    for key, value in criterion.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@pytest.mark.parametrize('stop', [1, 3, 4, 5])
def test_balance_goes_on_after_a_resume(stop):
    whole, _ = train(ALRPCriterion(balance_every=3), 9)
    first = ALRPCriterion(balance_every=3)
    head, _ = train(first, stop)
    second = ALRPCriterion(balance_every=3)
    second.load_state_dict(first.state_dict())
    tail, _ = train(second, 9 - stop, first=stop)
    assert head + tail == whole


def test_a_run_that_takes_weights_only_starts_a_whole_period():
    first = ALRPCriterion(balance_every=3)
    train(first, 2)
    second = ALRPCriterion(balance_every=3)
    second.load_state_dict(first.state_dict())
    second.balance.start_over()
    ratios, seen = train(second, 4, first=2)
    assert ratios == pytest.approx([50.0] * 3 + [ratio_of(seen[:3])], rel=1e-6)


def test_a_criterion_that_was_left_on_another_device_says_so():
    balance = ALRPCriterion(balance_every=3).balance.to('meta')
    with pytest.raises(
        ValueError, match='is on meta and the predictions are on cpu: move the criterion'
    ):
        balance(torch.ones(()), torch.ones(()))


def test_a_ratio_that_nothing_sets_is_told_once():
    criterion = ALRPCriterion()
    criterion.eval()(*batch())
    criterion.train()
    with pytest.warns(UserWarning, match='without balance_every=N nothing sets') as caught:
        train(criterion, 3)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        train(ALRPCriterion(balance_every=2), 2)
        train(ALRPCriterion(self_balance=False, initial_ratio=2.0), 2)
        ALRPCriterion().eval()(*batch())


@pytest.mark.parametrize('every', [0, -1, 2.5, True])
def test_wrong_balance_period(every):
    with pytest.raises(ValueError, match='balance_every must be a positive integer'):
        ALRPCriterion(balance_every=every)
    with pytest.raises(ValueError, match='balance_every needs self_balance=True'):
        APCriterion(balance_every=5)


class TinyDetector(torch.nn.Module):
    """Logits and box corrections from features; the criterion balances by itself."""

    def __init__(self, name, scope):
        super().__init__()
        torch.manual_seed(0)
        self.classifier = torch.nn.Linear(4, NUM_CLASSES, dtype=torch.float64)
        self.regressor = torch.nn.Linear(4, 4, dtype=torch.float64)
        options = {'balance_every': 2} if name == 'alrp' else {}
        self.criterion = CRITERIA[name](scope=scope, **options)

    def forward(self, features, indices, boxes, target_boxes):
        rows = ((indices >= 0) & (indices < NUM_CLASSES)).nonzero()[:, 0]
        boxes = boxes + self.regressor(features[rows])
        losses = self.criterion(self.classifier(features), indices, boxes, target_boxes)
        return losses.loss_cls + losses.loss_bbox


def features_of(seed, rows):
    generator = torch.Generator().manual_seed(100 + seed)
    return torch.randn(rows, 4, generator=generator, dtype=torch.float64)


def part_of(step, rank):
    rows, num_pos = ((60, 9), (40, 4), (30, 0))[(step + rank) % 3]
    seed = 10 * step + rank
    return features_of(seed, rows), *batch(num_pos=num_pos, seed=seed, rows=rows)[1:]


def train_in_group(rank, world_size):
    found = {}
    for name in CRITERIA:
        detector = TinyDetector(name, 'global')
        model = DistributedDataParallel(detector, broadcast_buffers=False)
        steps = []
        for step in range(5):
            model.zero_grad()
            loss = model(*part_of(step, rank))
            loss.backward()
            steps.append((loss.item(), [p.grad.clone() for p in model.parameters()]))
        found[name] = steps
    return found


def test_two_processes_are_one_process_with_both_parts(tmp_path):
    """Losses, gradients and ratios; only the mean of the sums of both processes gives the ratio."""
    both = run_in_processes(train_in_group, 2, tmp_path)
    for name in CRITERIA:
        alone = TinyDetector(name, 'process')
        for step in range(5):
            parts = [part_of(step, rank) for rank in range(2)]
            alone.zero_grad()
            loss = alone(*(torch.cat(part) for part in zip(*parts, strict=True)))
            loss.backward()
            grads = [p.grad for p in alone.parameters()]
            for one in both:
                value, averaged = one[name][step]
                assert math.isclose(value, loss.item(), rel_tol=1e-9)
                torch.testing.assert_close(averaged, grads, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('exponent', [0.0, 0.5, 1.0, 2.0])
def test_exponent_of_the_box_weights_against_plain_loops(exponent):
    logits, indices, boxes, target_boxes = batch()
    criterion = ALRPCriterion(delta=0.0, self_balance=False, box_weight_exponent=exponent)
    boxes.requires_grad_()
    found = criterion(logits, indices, boxes, target_boxes).loss_bbox
    flat, targets = logits.flatten().tolist(), flat_targets(indices).tolist()
    positives = [score for score, target in zip(flat, targets, strict=True) if target == 1]
    ranks = [
        sum(s >= own for s, t in zip(flat, targets, strict=True) if t >= 0) for own in positives
    ]
    weights = [
        sum(1 / rank for score, rank in zip(positives, ranks, strict=True) if score <= own)
        for own in positives
    ]
    evened = [weight**exponent for weight in weights]
    scale = sum(weights) / sum(evened) / len(positives)
    errors = giou_loss(boxes, target_boxes)  # / 2 / (1 - tau) is 1
    expected = sum(scale * weight * error for weight, error in zip(evened, errors, strict=True))
    torch.testing.assert_close(found, expected)
    grads = [torch.autograd.grad(loss, boxes)[0] for loss in (found, expected)]
    torch.testing.assert_close(*grads)


def test_exponent_0_trains_all_boxes_of_an_image_alike():
    logits, indices, boxes, target_boxes = batch()
    images = (torch.arange(len(logits)) >= NUM_ROWS // 2).long()
    criterion = ALRPCriterion(self_balance=False, box_weight_exponent=0.0, scope='image')
    boxes = target_boxes + 1.0
    losses = giou_loss(boxes.requires_grad_(), target_boxes)
    grads = torch.autograd.grad(
        criterion(logits, indices, boxes, target_boxes, images, 2).loss_bbox, boxes
    )[0]
    own = torch.autograd.grad(losses.sum(), boxes)[0]
    weights = (grads / own)[:, 0]
    positive = (indices >= 0) & (indices < NUM_CLASSES)
    for image in (0, 1):
        inside = weights[images[positive] == image]
        assert len(inside) > 1
        torch.testing.assert_close(inside, inside[:1].expand_as(inside))


@pytest.mark.parametrize('exponent', [-1.0, float('inf'), float('nan')])
def test_wrong_exponents_are_refused(exponent):
    with pytest.raises(ValueError, match='box_weight_exponent must be a finite number'):
        ALRPCriterion(box_weight_exponent=exponent)
