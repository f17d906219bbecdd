"""One ranking an image: the mean over all images of rankings done one by one."""

import oracle
import pytest
import torch
from paired import PAIRS, assert_matches, value_and_grad
from rankings import batch_of

from mmdet_alrp.ranking import alrp_loss, average_precision_loss, label_comparison

STEPS = [(0.0, torch.float32), (0.5, torch.float64), (1.0, torch.float32)]
SIZES = {  # (positives, negatives) of each image
    'two images': [(7, 40), (3, 30)],
    'one image': [(5, 30)],
    'images without positives': [(0, 20), (6, 30), (0, 0), (1, 10), (0, 3)],
    'images without negatives': [(4, 0), (3, 25), (1, 0)],
    'no positive at all': [(0, 10), (0, 5)],
    'more positives than negatives': [(30, 4), (25, 1)],
    'nothing at all': [(0, 0), (0, 0)],
    'last images empty': [(3, 10), (0, 0), (0, 0)],
}
every_loss = pytest.mark.parametrize('name', list(PAIRS))
every_delta = pytest.mark.parametrize('delta', [0.0, 0.5, 1.0])


def loop_of(name, case, images, num_images, delta, **options):
    """The package's own one-ranking function, image after image."""
    logits, targets, of_positives = case
    owners = images[targets == 1]
    loss, grad = torch.zeros((), dtype=torch.float64), torch.zeros_like(logits)
    for image in range(num_images):
        mine = images == image
        part = (logits[mine], targets[mine], of_positives[owners == image])
        value, grad[mine] = value_and_grad(name, part, delta, **options)
        loss += value
    return loss / num_images, grad / num_images


@pytest.mark.parametrize(('delta', 'dtype'), STEPS, ids=str)
@pytest.mark.parametrize('sizes', list(SIZES))
@every_loss
def test_against_brute_force(name, delta, sizes, dtype, device):
    case, images = batch_of(SIZES[sizes], dtype)
    count = len(SIZES[sizes])
    ours, brute_force = PAIRS[name]
    logits = case[0].to(device).requires_grad_()
    rest = [part.to(device) for part in (*case[1:], images)]
    loss = ours(logits, *rest[:2], delta, images=rest[2], num_images=count)
    expected = oracle.one_ranking_an_image(
        lambda *part: brute_force(*part, delta), case, images, count
    )
    assert_matches(loss, logits, expected)


@pytest.mark.parametrize('step', [0.5, 2.0])
@every_delta
@every_loss
def test_ties_inside_and_between_images(name, delta, step):
    case, images = batch_of([(9, 50), (12, 40), (5, 5)], scale=1.0, step=step)
    logits = case[0].requires_grad_()
    ours, brute_force = PAIRS[name]
    expected = oracle.one_ranking_an_image(lambda *part: brute_force(*part, delta), case, images, 3)
    assert_matches(ours(*case, delta, images=images, num_images=3), logits, expected)


@pytest.mark.parametrize(('delta', 'dtype'), STEPS, ids=str)
@pytest.mark.parametrize(
    'offsets', [(1e4, -1e4, 0.0), (0.0, 1e4, 1e4), (30.0, -30.0, 0.0)], ids=str
)
@every_loss
def test_images_far_apart_do_not_cost_one_another_digits(name, delta, offsets, dtype):
    case, images = batch_of([(9, 50), (12, 40), (5, 60)], dtype, offsets=offsets)
    logits = case[0].requires_grad_()
    ours, brute_force = PAIRS[name]
    expected = oracle.one_ranking_an_image(lambda *part: brute_force(*part, delta), case, images, 3)
    assert_matches(ours(*case, delta, images=images, num_images=3), logits, expected)


@pytest.mark.parametrize('num_images', [1, 16, 64])
@every_loss
def test_many_images_against_a_loop_over_them(name, num_images):
    gen = torch.Generator().manual_seed(num_images)
    sizes = [(k % 9, 20 + 3 * k) for k in torch.randperm(num_images, generator=gen).tolist()]
    case, images = batch_of(sizes, seed=40)
    found = value_and_grad(name, case, 0.5, images=images, num_images=num_images)
    expected = loop_of(name, case, images, num_images, 0.5)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-10, atol=1e-14)


@every_delta
@every_loss
def test_one_image_is_the_plain_ranking(name, delta):
    case, images = batch_of([(15, 200)], seed=41)
    plain = value_and_grad(name, case, delta)
    found = value_and_grad(name, case, delta, images=images, num_images=1)
    torch.testing.assert_close(found[0], plain[0], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(found[1], plain[1], rtol=1e-12, atol=1e-15)


@every_delta
@every_loss
def test_empty_images_only_dilute(name, delta):
    case, images = batch_of([(6, 40)], seed=42)
    plain = value_and_grad(name, case, delta)
    found = value_and_grad(name, case, delta, images=images + 2, num_images=4)
    torch.testing.assert_close(found[0], plain[0] / 4, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(found[1], plain[1] / 4, rtol=1e-12, atol=1e-15)


@every_delta
@every_loss
def test_names_of_images_and_order_of_entries_do_not_matter(name, delta):
    case, images = batch_of([(6, 40), (0, 9), (8, 30)], seed=43)
    loss, grad = value_and_grad(name, case, delta, images=images, num_images=3)
    renamed = torch.tensor([2, 0, 1])[images]
    moved = value_and_grad(name, case, delta, images=renamed, num_images=3)
    torch.testing.assert_close(moved, (loss, grad), rtol=1e-10, atol=1e-14)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    at_entry = torch.zeros_like(case[0])
    at_entry[case[1] == 1] = case[2]
    targets = case[1][order]
    shuffled = (case[0][order], targets, at_entry[order][targets == 1])
    moved = value_and_grad(name, shuffled, delta, images=images[order], num_images=3)
    torch.testing.assert_close(moved, (loss, grad[order]), rtol=1e-10, atol=1e-14)


@every_delta
@every_loss
def test_each_image_may_shift_by_itself(name, delta):
    case, images = batch_of([(6, 40), (5, 20), (8, 30)], seed=44)
    plain = value_and_grad(name, case, delta, images=images, num_images=3)
    shift = torch.tensor([-3.3, 0.7, 11.0], dtype=torch.float64)[images]
    moved = (case[0] + shift, *case[1:])
    found = value_and_grad(name, moved, delta, images=images, num_images=3)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=1e-12)


@every_delta
@every_loss
def test_gradients_cancel_in_every_image(name, delta):
    case, images = batch_of([(6, 40), (0, 9), (20, 3)], seed=45)
    _, grad = value_and_grad(name, case, delta, images=images, num_images=3)
    sums = torch.zeros(3, dtype=torch.float64).index_add(0, images, grad)
    torch.testing.assert_close(sums, torch.zeros_like(sums), rtol=0, atol=1e-14)
    assert (grad[images == 1] == 0).all() and (grad[images == 0] != 0).any()


@pytest.mark.parametrize('sizes', list(SIZES))
@every_delta
def test_localisation_part_of_alrp(delta, sizes):
    case, images = batch_of(SIZES[sizes], seed=46)
    logits, targets, loc_errors = case
    count, owners = len(SIZES[sizes]), images[targets == 1]
    loc_errors.requires_grad_()
    logits.requires_grad_()
    _, loss = alrp_loss(*case, delta, images=images, num_images=count)
    (weights,) = torch.autograd.grad(loss, loc_errors, retain_graph=True)
    (on_logits,) = torch.autograd.grad(loss, logits, allow_unused=True)
    assert on_logits is None or (on_logits == 0).all()
    expected = torch.zeros_like(weights)
    for image in range(count):
        mine = images == image
        readings = oracle.admissible_loc_weights(logits[mine], targets[mine], delta)
        expected[owners == image] = readings[0] / count
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-14)
    value = (weights * loc_errors.detach()).sum()
    torch.testing.assert_close(loss.detach(), value, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize('dtype', [torch.int32, torch.int64])
def test_integer_dtypes_of_images(dtype):
    case, images = batch_of([(6, 40), (5, 20)], seed=47)
    plain = value_and_grad('ap', case, 1.0, images=images, num_images=2)
    found = value_and_grad('ap', case, 1.0, images=images.to(dtype), num_images=2)
    assert torch.equal(found[0], plain[0]) and torch.equal(found[1], plain[1])


@pytest.mark.parametrize(
    ('options', 'error', 'said'),
    [
        ({'images': torch.zeros(4).long(), 'num_images': 1}, ValueError, 'images'),
        ({'images': torch.zeros(3, 1).long(), 'num_images': 1}, ValueError, 'images'),
        ({'images': torch.zeros(3), 'num_images': 1}, TypeError, 'images'),
        ({'images': torch.zeros(3).long()}, ValueError, 'num_images'),
        ({'images': torch.zeros(3).long(), 'num_images': 0}, ValueError, 'num_images'),
        ({'images': torch.zeros(3).long(), 'num_images': 1, 'group': True}, ValueError, 'group'),
    ],
    ids=['length', 'shape', 'dtype', 'count missing', 'count 0', 'and group'],
)
def test_wrong_arguments(options, error, said):
    with pytest.raises(error, match=said):
        average_precision_loss(torch.zeros(3), torch.tensor([1, 0, 0]), **options)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_images_of_any_integer_type_are_read_and_left_alone(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5000, generator=generator)
    targets = (torch.arange(5000) % 100 == 0).long()
    images = (torch.arange(5000) % 3).to(dtype)
    before = images.clone()
    loss = average_precision_loss(logits, targets, images=images, num_images=3)
    assert torch.equal(images, before)
    one_by_one = [
        average_precision_loss(logits[before == i], targets[before == i]) for i in range(3)
    ]
    torch.testing.assert_close(loss, sum(one_by_one) / 3)


@every_delta
def test_sorting_in_rounds_keeps_images_apart(delta, monkeypatch):
    case, images = batch_of([(9, 50), (0, 4), (12, 40), (5, 5)])
    ours, brute_force = PAIRS['rs sort']
    expected = oracle.one_ranking_an_image(lambda *part: brute_force(*part, delta), case, images, 4)
    monkeypatch.setattr(label_comparison, 'MAX_PAIRED', 0)
    logits = case[0].clone().requires_grad_()
    assert_matches(ours(logits, *case[1:], delta, images=images, num_images=4), logits, expected)
