"""Batches without one side, half precision, awkward tensors, wrong arguments, lone import."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fresh_python import run_python
from rankings import random_ranking
from torch import Tensor

from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss, rank_sort_loss

REPO = Path(__file__).resolve().parents[2]
LOSSES: dict[str, Callable[..., Tensor]] = {
    'ap': lambda s, t, e, d=1.0: average_precision_loss(s, t, d),
    'ap plain': lambda s, t, e, d=1.0: average_precision_loss(s, t, d, interpolated=False),
    'alrp': lambda s, t, e, d=1.0: sum(alrp_loss(s, t, e, d)),
    'ndcg': lambda s, t, e, d=1.0: ndcg_loss(s, t, d),
    'rs': lambda s, t, e, d=1.0: sum(rank_sort_loss(s, t, e, d)),
}
every_loss = pytest.mark.parametrize('name', list(LOSSES))
ALL_DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@every_loss
@pytest.mark.parametrize('delta', [0.0, 1.0])
@pytest.mark.parametrize('dtype', ALL_DTYPES)
@pytest.mark.parametrize('targets', [[], [0], [0, 0, 0], [-1, -1], [-1, 0]])
def test_without_positives_zero_loss_and_zero_gradients(name, delta, dtype, targets, device):
    targets = torch.tensor(targets, dtype=torch.long, device=device)
    logits = torch.linspace(-2, 3, len(targets)).to(device, dtype).requires_grad_()
    loc_errors = logits.new_zeros(0).requires_grad_()
    loss = LOSSES[name](logits, targets, loc_errors, delta)
    assert loss.shape == () and loss.item() == 0
    loss.backward()
    assert logits.grad is not None and logits.grad.shape == logits.shape
    assert (logits.grad == 0).all()
    if name == 'alrp':
        assert loc_errors.grad is not None and loc_errors.grad.shape == (0,)


@pytest.mark.parametrize('which', [0, 1])
def test_each_alrp_result_alone_can_be_stepped_without_positives(which):
    logits, loc_errors = torch.zeros(4, requires_grad=True), torch.zeros(0, requires_grad=True)
    results = alrp_loss(logits, torch.zeros(4, dtype=torch.long), loc_errors)
    results[which].backward()
    assert (logits, loc_errors)[which].grad is not None


@pytest.mark.parametrize('name', [name for name in LOSSES if name != 'rs'])  # that still sorts
@pytest.mark.parametrize('delta', [0.0, 1.0])
def test_without_negatives_nothing_to_rank(name, delta):
    # Far apart: the smoothed ranks of the positives are 1, 2, 3 for every delta here.
    logits = torch.tensor([9.0, 3.0, 6.0, 1.0], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([1, 1, 1, -1])
    loc_errors = torch.tensor([0.2, 0.4, 0.9], dtype=torch.float64, requires_grad=True)
    loss = LOSSES[name](logits, targets, loc_errors, delta)
    loss.backward()
    assert logits.grad is not None and (logits.grad == 0).all()
    if name != 'alrp':
        assert abs(loss.item()) <= 1e-12
        return
    assert loss.item() == pytest.approx((0.2 + (0.2 + 0.9) / 2 + (0.2 + 0.4 + 0.9) / 3) / 3)
    expected = [(1 + 1 / 2 + 1 / 3) / 3, 1 / 9, (1 / 2 + 1 / 3) / 3]
    assert loc_errors.grad.tolist() == pytest.approx(expected)


@every_loss
@pytest.mark.parametrize('delta', [0.0, 1.0])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_equals_float32_on_the_same_values(name, delta, dtype, device):
    logits, targets, loc_errors = random_ranking(40, 3000, seed=21)
    logits, targets = logits.to(device, dtype).requires_grad_(), targets.to(device)
    loc_errors = loc_errors.to(device, dtype)
    loss = LOSSES[name](logits, targets, loc_errors, delta)
    (grad,) = torch.autograd.grad(loss, logits)
    wide = logits.detach().float().requires_grad_()
    wide_loss = LOSSES[name](wide, targets, loc_errors.float(), delta)
    (wide_grad,) = torch.autograd.grad(wide_loss, wide)
    assert grad.dtype == dtype
    torch.testing.assert_close(loss.float(), wide_loss, rtol=1e-2, atol=1e-3)
    scale = wide_grad.abs().max().item()
    torch.testing.assert_close(grad.float(), wide_grad, rtol=1e-2, atol=1e-3 * scale)


@every_loss
@pytest.mark.parametrize('delta', [0.0, 1.0])
@pytest.mark.parametrize('dtype', ALL_DTYPES)
def test_logits_near_the_end_of_float16_do_not_overflow(name, delta, dtype):
    """Sums of these in half precision would be infinite; differences, too (12e4)."""
    gen = torch.Generator().manual_seed(22)
    targets = (torch.rand(500, generator=gen) < 0.1).long()
    high = torch.rand(500, generator=gen) < 0.5
    logits = torch.where(high, 6e4, -6e4).to(dtype).requires_grad_()
    assert logits.abs().min().item() == logits.abs().max().item() > 5.9e4
    loc_errors = torch.rand(int(targets.sum()), generator=gen, dtype=torch.float64)
    loss = LOSSES[name](logits, targets, loc_errors, delta)
    (grad,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss) and torch.isfinite(grad).all()
    # Ties aside, the same order as with scores -2 and 2, delta 1.
    near = (logits.detach().sign().double() * 2).requires_grad_()
    near_loss = LOSSES[name](near, targets, loc_errors, delta)
    torch.testing.assert_close(loss.double(), near_loss, rtol=2e-2, atol=1e-3)


def test_mixed_precision_of_logits_and_loc_errors():
    """AMP hands over half logits and float32 boxes; each gradient has its input's dtype."""
    logits, targets, loc_errors = random_ranking(10, 50, seed=23)
    logits = logits.half().requires_grad_()
    loc_errors = loc_errors.float().requires_grad_()
    sum(alrp_loss(logits, targets, loc_errors)).backward()
    assert logits.grad.dtype == torch.float16 and loc_errors.grad.dtype == torch.float32


@every_loss
def test_strided_inputs(name):
    logits, targets, loc_errors = random_ranking(10, 50, seed=24)
    plain = logits.clone().requires_grad_()
    loss = LOSSES[name](plain, targets, loc_errors)
    (grad,) = torch.autograd.grad(loss, plain)
    strided = torch.stack([logits, -logits], dim=1)[:, 0].requires_grad_()
    wide_targets = torch.stack([targets, 1 - targets], dim=1)[:, 0]
    wide_errors = torch.stack([loc_errors, loc_errors], dim=1)[:, 0]
    assert not strided.is_contiguous() and not wide_targets.is_contiguous()
    strided_loss = LOSSES[name](strided, wide_targets, wide_errors)
    (strided_grad,) = torch.autograd.grad(strided_loss, strided)
    assert torch.equal(strided_loss, loss) and torch.equal(strided_grad, grad)


@every_loss
def test_a_second_call_gives_the_same_and_leaves_its_inputs_alone(name):
    case = random_ranking(10, 50, seed=25)
    kept = [t.clone() for t in case]
    results = []
    for _ in range(2):
        logits = case[0].detach().requires_grad_()
        loss = LOSSES[name](logits, *case[1:])
        results.append((loss.detach(), *torch.autograd.grad(loss, logits)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(case, kept, strict=True))


@every_loss
def test_without_gradients_the_value_is_the_same(name):
    logits, targets, loc_errors = random_ranking(10, 50, seed=26)
    plain = LOSSES[name](logits, targets, loc_errors)
    assert not plain.requires_grad
    with_grad = logits.clone().requires_grad_()
    tracked = LOSSES[name](with_grad, targets, loc_errors)
    with torch.no_grad():
        untracked = LOSSES[name](with_grad, targets, loc_errors)
    assert tracked.requires_grad
    assert plain.item() == tracked.item() == untracked.item()


@pytest.mark.parametrize('dtype', [torch.int8, torch.int16, torch.int32, torch.int64])
@every_loss
def test_any_signed_integer_dtype_of_targets(name, dtype):
    logits, targets, loc_errors = random_ranking(10, 50, seed=27)
    narrow = LOSSES[name](logits, targets.to(dtype), loc_errors)
    assert narrow.item() == LOSSES[name](logits, targets, loc_errors).item()


def messages(parts: list[str], text: str) -> None:
    missing = [part for part in parts if part not in text]
    assert not missing, f'{missing} not in {text!r}'


@every_loss
@pytest.mark.parametrize(
    ('logits', 'targets', 'parts'),
    [
        (torch.zeros(4), torch.zeros(5).long(), ['targets', '(4,)', '(5,)']),
        (torch.zeros(2, 3), torch.zeros(2, 3).long(), ['logits', '(2, 3)']),
        (torch.zeros(()), torch.zeros(()).long(), ['logits', '()']),
        (torch.zeros(4), torch.zeros(4, 1).long(), ['targets', '(4, 1)']),
    ],
)
def test_wrong_shapes(name, logits, targets, parts):
    with pytest.raises(ValueError) as caught:
        LOSSES[name](logits, targets, torch.zeros(0))
    messages(parts, str(caught.value))


@pytest.mark.parametrize('shape', [(2,), (4,), (0,)])
def test_wrong_number_of_loc_errors(shape):
    targets = torch.tensor([1, 0, 1, -1, 1])
    with pytest.raises(ValueError) as caught:
        alrp_loss(torch.zeros(5), targets, torch.zeros(shape))
    messages(['loc_errors', 'positive', '(3,)', str(shape)], str(caught.value))


@pytest.mark.parametrize('shape', [(3, 1), (1, 3), ()])
def test_loc_errors_that_are_no_vector(shape):
    with pytest.raises(ValueError) as caught:
        alrp_loss(torch.zeros(3), torch.tensor([1, 1, 1]), torch.zeros(shape))
    messages(['loc_errors', str(shape)], str(caught.value))


@every_loss
@pytest.mark.parametrize('delta', [-1.0, -1e-12, float('nan')])
def test_bad_delta(name, delta):
    with pytest.raises(ValueError) as caught:
        LOSSES[name](torch.zeros(2), torch.tensor([1, 0]), torch.zeros(1), delta)
    messages(['delta', str(delta)], str(caught.value))


@every_loss
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16])
def test_targets_that_are_not_integers(name, dtype):
    with pytest.raises(TypeError) as caught:
        LOSSES[name](torch.zeros(2), torch.tensor([1, 0]).to(dtype), torch.zeros(1))
    messages(['targets', 'integer', str(dtype)], str(caught.value))


LONE_IMPORT = """
import sys

blocked = ['mmdet', 'mmengine', 'mmcv', 'mmseg', 'pycocotools', 'cv2']
sys.modules.update(dict.fromkeys(blocked))  # None: as if it were not installed
import torch
from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss

logits, targets = torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([1, 0])
cls, loc = alrp_loss(logits, targets, torch.tensor([0.5]))
total = cls + loc + average_precision_loss(logits, targets) + ndcg_loss(logits, targets)
total.backward()
assert logits.grad is not None
assert not any(sys.modules[name] for name in blocked)
print('ranked')
"""


def test_imports_where_only_torch_is_to_be_had():
    done = run_python('-c', LONE_IMPORT, folder=REPO)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == 'ranked'
