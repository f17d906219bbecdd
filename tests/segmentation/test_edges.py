"""Edges of masks against plain loops over pixels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_alrp.segmentation.edges import (
    dilate,
    label_edges,
    mask_edges,
    soft_dilate,
    soft_min_pool,
)


def loop_edges(mask, valid):
    """Pixel by pixel: of the mask, and beside a pixel that is ignored or not of the mask."""
    height, width = mask.shape
    edges = np.zeros_like(mask, dtype=bool)
    for row in range(height):
        for col in range(width):
            around = [
                (r, c)
                for r in range(max(row - 1, 0), min(row + 2, height))
                for c in range(max(col - 1, 0), min(col + 2, width))
            ]
            leaves = any(not valid[place] or not mask[place] for place in around)
            edges[row, col] = mask[row, col] and valid[row, col] and leaves
    return edges


def loop_dilate(mask, tolerance):
    grown = np.zeros_like(mask, dtype=bool)
    for row, col in zip(*np.nonzero(mask), strict=True):
        rows = slice(max(row - tolerance, 0), row + tolerance + 1)
        grown[rows, max(col - tolerance, 0) : col + tolerance + 1] = True
    return grown


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 2**31), st.integers(1, 3))
def test_edges_of_masks_and_of_labels_equal_a_loop_over_pixels(shape, seed, num_classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, shape)
    valid = rng.random(shape) < 0.8
    of_any_class = label_edges(torch.tensor(labels), torch.tensor(valid)).numpy()
    for label in range(num_classes):
        mask = labels == label
        expected = loop_edges(mask, valid)
        found = mask_edges(torch.tensor(mask & valid)).numpy()
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(of_any_class & mask, expected)


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 2**31), st.integers(0, 12))
def test_dilation_equals_a_loop_over_pixels(shape, seed, tolerance):
    mask = np.random.default_rng(seed).random(shape) < 0.2
    np.testing.assert_array_equal(
        dilate(torch.tensor(mask), tolerance).numpy(), loop_dilate(mask, tolerance)
    )


def test_without_ignored_pixels_no_valid_map_is_needed():
    labels = torch.randint(0, 3, (2, 8, 7), generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones_like(labels, dtype=torch.bool)
    masks = labels.unsqueeze(1) == torch.arange(3).view(3, 1, 1)
    assert torch.equal(label_edges(labels), label_edges(labels, everywhere))
    assert torch.equal(mask_edges(masks).any(1), label_edges(labels))


def test_the_image_border_is_no_edge_but_the_rim_of_an_ignored_strip_is():
    labels = torch.zeros(1, 5, 6, dtype=torch.uint8)
    assert not label_edges(labels).any()
    assert not mask_edges(torch.ones(5, 6)).any()
    labels[..., 3:] = 255
    edges = label_edges(labels, labels != 255)
    assert edges[..., 2].all() and edges.sum() == 5
    assert not label_edges(labels, torch.zeros_like(labels, dtype=torch.bool)).any()


@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_of_any_type_give_the_same_edges(dtype):
    mask = torch.zeros(6, 6)
    mask[1:5, 1:5] = 1
    assert mask_edges(mask.to(dtype)).sum() == 12
    assert dilate(mask.to(dtype), 1).all()


@pytest.mark.parametrize('reach', [0, 1, 2, 5, 20])
def test_soft_dilation_and_its_gradient_equal_max_pooling(reach):
    values = torch.rand(2, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    coeffs = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    size = 2 * min(reach, 10) + 1
    # A padding of at most half the window is all that max_pool2d takes: pad by hand.
    padded = nnf.pad(values, (size // 2,) * 4, value=-1)
    expected = nnf.max_pool2d(padded, size, stride=1)
    found = soft_dilate(values, reach)
    assert torch.equal(found, expected)
    (expected_grad,) = torch.autograd.grad((expected * coeffs).sum(), values)
    (grad,) = torch.autograd.grad((found * coeffs).sum(), values)
    torch.testing.assert_close(grad, expected_grad)


def test_soft_min_pooling_of_masks_is_hard_and_its_gradient_is_the_derivative():
    masks = torch.rand(1, 2, 7, 8) < 0.7
    inner = soft_min_pool(masks.double()) == 1
    assert torch.equal(mask_edges(masks), masks & ~inner)
    probs = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(soft_min_pool, probs)


@pytest.mark.parametrize('tolerance', [-1, 1.5, True, None])
def test_a_tolerance_that_is_no_number_of_pixels_is_refused(tolerance):
    with pytest.raises(ValueError, match='tolerance must be a whole number of pixels >= 0, got'):
        dilate(torch.zeros(3, 3, dtype=torch.bool), tolerance)
    with pytest.raises(ValueError, match='tolerance'):
        soft_dilate(torch.zeros(1, 1, 3, 3), tolerance)


def test_a_line_of_pixels_is_no_image():
    for function in (mask_edges, label_edges):
        with pytest.raises(ValueError, match=r'expected images of shape \(\.\.\., H, W\)'):
            function(torch.zeros(4, dtype=torch.int64))
