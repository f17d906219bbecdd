"""What is one ranking: the process, each image, or all processes (here alone, and two of them)."""

import pytest
import torch
from in_processes import run_in_processes
from loss_batches import gradients, random_ranking
from mmdet.models.losses import GIoULoss, SmoothL1Loss
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from torch.nn.parallel import DistributedDataParallel

import mmdet_alrp  # noqa: F401 - registers the losses

CONFIGS = {
    'alrp': {'type': 'ALRPLoss'},
    'alrp fixed': {'type': 'ALRPLoss', 'tau': 0.7, 'self_balance': False, 'loss_weight': 0.2},
    'alrp skewed': {'type': 'ALRPLoss', 'error_skew': 1.0, 'delta': 0.5},
    'ap': {'type': 'APLoss'},
    'ap balanced': {'type': 'APLoss', 'self_balance': True, 'interpolated': False},
    'ndcg': {'type': 'NDCGLoss'},
    'rs': {'type': 'RankSortLoss'},
}
every_config = pytest.mark.parametrize('name', list(CONFIGS))


def build(name, **options):
    return MODELS.build({**CONFIGS[name], **options})


def inputs(seed=0):
    logits, targets, box_losses = random_ranking(9, 70, torch.float64, seed)
    ious = torch.linspace(0.9, 0.0, len(box_losses), dtype=torch.float64)  # the last is a miss
    return logits.requires_grad_(), targets, box_losses.requires_grad_(), ious


def run(loss, logits, targets, box_losses, ious, **more):
    """Call a loss as a head does whose class scores are those of the positives' own classes."""
    scores = logits.detach()[targets == 1].sigmoid()
    return loss(logits, targets, box_losses, ious, box_scores=scores, **more)


@every_config
def test_image_is_the_mean_over_images(name):
    logits, targets, box_losses, ious = inputs()
    images = torch.arange(len(logits)) % 3  # and a fourth, which is empty
    owners = images[targets == 1]
    loss = build(name, scope='image')
    losses = run(loss, logits, targets, box_losses, ious, images=images, num_images=4)
    found = gradients(losses, logits, box_losses)
    expected = [torch.zeros(()), torch.zeros(())]
    for image in range(3):
        mine, mine_pos = images == image, owners == image
        part = run(build(name), logits[mine], targets[mine], box_losses[mine_pos], ious[mine_pos])
        expected = [total + value / 4 for total, value in zip(expected, part[:2], strict=True)]
    torch.testing.assert_close(losses.loss_cls, expected[0].double())
    if name == 'rs':  # one ratio a step, not one an image
        torch.testing.assert_close(losses.loss_bbox, losses.loss_cls)
        return
    torch.testing.assert_close(losses.loss_bbox, expected[1].double())
    grads = torch.autograd.grad(sum(expected), [logits, box_losses])
    torch.testing.assert_close(found, grads)


@every_config
def test_one_image_is_the_process(name):
    case = inputs()
    images = torch.zeros(len(case[0]), dtype=torch.long)
    plain = run(build(name), *case)
    found = run(build(name, scope='image'), *case, images=images, num_images=1)
    torch.testing.assert_close(found[:2], plain[:2])
    torch.testing.assert_close(
        gradients(found, case[0], case[2]), gradients(plain, case[0], case[2])
    )


@every_config
def test_image_needs_to_know_the_images(name):
    with pytest.raises((TypeError, ValueError), match='images'):
        build(name, scope='image')(*inputs())


@every_config
@pytest.mark.parametrize('scope', ['process', 'global'])
def test_images_do_not_matter_to_the_other_scopes(name, scope):
    case = inputs()
    images = torch.arange(len(case[0])) % 3
    found = run(build(name, scope=scope), *case, images=images, num_images=3)
    assert found[:2] == run(build(name, scope=scope), *case)[:2]


@every_config
def test_global_alone_is_the_process(name):
    case = inputs()
    plain, found = run(build(name), *case), run(build(name, scope='global'), *case)
    torch.testing.assert_close(found[:2], plain[:2], rtol=0, atol=0)
    torch.testing.assert_close(
        gradients(found, case[0], case[2]), gradients(plain, case[0], case[2]), rtol=0, atol=0
    )


class TinyDetector(torch.nn.Module):
    """Three classes and a box from six features; the loss is its output, as DDP wants it."""

    def __init__(self, name, encoded, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.classifier = torch.nn.Linear(6, 3)
        self.regressor = torch.nn.Linear(6, 4)
        self.loss = build(name, scope='global')
        self.loss_bbox = SmoothL1Loss() if encoded else GIoULoss()
        self.loss.check_box_loss(self.loss_bbox, decoded=not encoded)
        self.encoded = encoded
        self.to(dtype)

    def forward(self, features, targets, distances):
        logits = self.classifier(features).flatten()
        rows = (targets == 1).nonzero()[:, 0]
        deltas = self.regressor(features)[rows]
        boxes, true_boxes = deltas, distances[rows].log()
        ious = boxes.new_zeros(len(rows))
        if not self.encoded:
            signs = boxes.new_tensor([-1, -1, 1, 1])
            boxes, true_boxes = deltas.exp() * signs, distances[rows] * signs
            ious = bbox_overlaps(boxes.detach(), true_boxes, is_aligned=True)
            ious[features[rows, 0] < -0.5] = 0  # misses
        box_losses = deltas.sum(1)  # MMDetection's losses of no boxes are scalars or unconnected
        if len(rows):
            box_losses = self.loss_bbox(boxes, true_boxes, reduction_override='none')
        if box_losses.ndim == 2:
            box_losses = box_losses.sum(1)
        scores = logits.detach().reshape(-1, 3)[rows].sigmoid().amax(1)
        losses = self.loss(logits, targets.flatten(), box_losses, ious, box_scores=scores)
        return losses.loss_cls + losses.loss_bbox


MODELS_IN_GROUP = [(name, False) for name in CONFIGS] + [('ap', True), ('ndcg', True)]
# rows and positives of each of two processes
SHARES = {
    'both': [(30, 5), (20, 3)],
    'one process without positives': [(30, 5), (20, 0)],
    'no positives': [(10, 0), (8, 0)],
}
DTYPES = {'float32': (torch.float32, 1e-6), 'float64': (torch.float64, 1e-10)}


def batch_of(share, dtype):
    """What each process gets: features, targets of three classes, true distances to the sides."""
    generator = torch.Generator().manual_seed(5)
    parts = []
    for rows, num_pos in SHARES[share]:
        targets = torch.zeros(rows, 3, dtype=torch.int8)
        targets[2 : 2 + num_pos, 1] = 1
        targets[0] = -1
        features = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
        distances = 0.5 + torch.rand(rows, 4, generator=generator, dtype=torch.float64)
        parts.append((features.to(dtype), targets, distances.to(dtype)))
    return parts


def step(model, *batch):
    model.zero_grad()
    loss = model(*batch)
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.parameters()]


def train_in_group(rank, world_size):
    found = {}
    for kind, (dtype, _) in DTYPES.items():
        for name, encoded in MODELS_IN_GROUP:
            # without find_unused_parameters a parameter without gradient is an error in the next
            # step; buffers are the balance's sums, which no process may overwrite
            detector = TinyDetector(name, encoded, dtype)
            model = DistributedDataParallel(detector, broadcast_buffers=False)
            for share in SHARES:
                found[kind, name, encoded, share] = step(model, *batch_of(share, dtype)[rank])
    return found


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    return run_in_processes(train_in_group, 2, tmp_path_factory.mktemp('global_scope'))


@pytest.mark.parametrize('share', list(SHARES))
@pytest.mark.parametrize(('name', 'encoded'), MODELS_IN_GROUP)
@pytest.mark.parametrize('kind', list(DTYPES))
def test_global_gradients_are_those_of_the_whole_batch(found, kind, name, encoded, share):
    dtype, tolerance = DTYPES[kind]
    whole = [torch.cat(parts) for parts in zip(*batch_of(share, dtype), strict=True)]
    loss, grads = step(TinyDetector(name, encoded, dtype), *whole)
    scale = max(grad.abs().max().item() for grad in grads)
    assert (scale > 0) == (share != 'no positives')
    for one in found:
        value, averaged = one[kind, name, encoded, share]
        torch.testing.assert_close(value, loss, rtol=tolerance, atol=tolerance)
        for ours, expected in zip(averaged, grads, strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * scale)
