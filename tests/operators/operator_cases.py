"""Calls of mmcv's operators on fixed inputs, from which compiled operators were recorded.

None depends on the order that a sort gives equal scores, which compiled operators leave open.
"""

import numpy as np
import torch
from mmcv import ops

GRID = [[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0], [4.0, 0.0, 7.0, 1.0], [4.0, 0.0, 14.0, 1.0]]


def numbers(seed, *shape, scale=1.0):
    """Normal numbers that no version of PyTorch changes."""
    values = np.random.RandomState(seed).standard_normal(shape) * scale
    return torch.from_numpy(values.astype(np.float32))


def boxes(seed, count, side=40.0):
    low = numbers(seed, count, 2).abs() * side / 2
    return torch.cat((low, low + numbers(seed + 1, count, 2).abs() * side / 2), dim=1)


def scores(seed, count, levels=0):
    values = numbers(seed, count).sigmoid()
    return (values * levels).round() / levels if levels else values


def suppress(count, threshold, **options):
    dets, index = ops.nms(boxes(1, count), scores(3, count), threshold, **options)
    return {'dets': dets, 'index': index}


def suppress_at_threshold(threshold):
    """IoU of the pairs: 1/2 and, rounded in float32, 3/10."""
    dets, index = ops.nms(torch.tensor(GRID), torch.tensor([0.9, 0.8, 0.7, 0.6]), threshold)
    return {'dets': dets, 'index': index}


def suppress_softly(count, method, levels=0, **options):
    dets, index = ops.soft_nms(
        boxes(5, count), scores(7, count, levels), 0.3, method=method, **options
    )
    return {'dets': dets, 'index': index}


def suppress_by_class(kind):
    classes = torch.arange(90) % 3
    options = {'type': kind, 'iou_threshold': 0.4}
    dets, index = ops.batched_nms(boxes(9, 90), scores(11, 90), classes, options)
    return {'dets': dets, 'index': index}


def match(count):
    dets = torch.cat((boxes(13, count), scores(15, count)[:, None]), dim=1)
    groups = ops.nms_match(dets, 0.4)
    return {
        'sizes': torch.tensor([len(group) for group in groups], dtype=torch.long),
        'index': torch.cat([*groups, torch.zeros(0, dtype=torch.long)]),
    }


def differentiate(operator, tensors, *options):
    """Output and gradients; None among the tensors stands for an absent one."""
    leaves = [
        tensor.clone().requires_grad_() if is_trained else tensor for tensor, is_trained in tensors
    ]
    output = operator(*leaves, *options)
    output.backward(numbers(99, *output.shape).to(output.dtype))
    found = {'output': output.detach()}
    for index, leaf in enumerate(leaves):
        if leaf is not None and leaf.grad is not None:
            found[f'grad{index}'] = leaf.grad
    return found


def align(count=7, dtype=torch.float32, **changes):
    options = {'size': (3, 2), 'scale': 0.25, 'samples': 2, 'aligned': True} | changes
    rois = torch.cat((torch.arange(count)[:, None] % 2, boxes(17, count, 60.0)), dim=1)
    if count > 3:
        rois[0, 1:] = torch.tensor([-30.0, -20.0, 5.0, 8.0])  # partly outside
        rois[1, 1:] = torch.tensor([200.0, 200.0, 240.0, 230.0])  # outside
        rois[2, 1:] = torch.tensor([9.0, 9.0, 9.0, 9.0])  # of no size
    features = numbers(19, 2, 3, 12, 15).to(dtype)
    return differentiate(
        lambda x: ops.roi_align(
            *(x, rois.to(dtype), options['size'], options['scale']),
            *(options['samples'], 'avg', options['aligned']),
        ),
        [(features, True)],
    )


def convolve(trained=(True, True, True), groups=1, deform_groups=1, stride=1, dilation=1):
    size = (9 + 2 - 2 * dilation - 1) // stride + 1
    shape = (2, 2 * deform_groups * 9, size, size)
    tensors = [
        numbers(21, 2, 4, 9, 9),
        numbers(23, *shape, scale=2.0),
        numbers(25, 6, 4 // groups, 3, 3),
    ]
    options = (stride, 1, dilation, groups, deform_groups)
    return differentiate(ops.deform_conv2d, list(zip(tensors, trained, strict=True)), *options)


def modulate(with_bias=True, groups=1, deform_groups=1, stride=1, dilation=1):
    size = (9 + 2 - 2 * dilation - 1) // stride + 1
    tensors = [
        numbers(31, 2, 4, 9, 9),
        numbers(33, 2, 2 * deform_groups * 9, size, size, scale=2.0),
        numbers(35, 2, deform_groups * 9, size, size).sigmoid(),
        numbers(37, 6, 4 // groups, 3, 3),
        numbers(39, 6) if with_bias else None,
    ]
    options = (stride, 1, dilation, groups, deform_groups)
    pairs = [(tensor, tensor is not None) for tensor in tensors]
    return differentiate(ops.modulated_deform_conv2d, pairs, *options)


CASES = {
    **{f'nms_{at}': (suppress, 120, at) for at in (0.1, 0.3, 0.5, 0.7)},
    'nms_offset': (lambda: suppress(120, 0.5, offset=1),),
    'nms_of_scores': (lambda: suppress(120, 0.5, score_threshold=0.6, max_num=7),),
    'nms_one': (suppress, 1, 0.5),
    'nms_none': (suppress, 0, 0.5),
    **{f'nms_at_iou_{at}': (suppress_at_threshold, at) for at in (0.5, 0.3)},
    **{
        f'softnms_{method}_{offset}': (
            lambda method=method, offset=offset: suppress_softly(60, method, offset=offset),
        )
        for method in ('naive', 'linear', 'gaussian')
        for offset in (0, 1)
    },
    'softnms_ties': (suppress_softly, 60, 'linear', 5),
    'softnms_drops': (lambda: suppress_softly(60, 'gaussian', 4, min_score=0.3),),
    'softnms_one': (suppress_softly, 1, 'linear'),
    'softnms_none': (suppress_softly, 0, 'linear'),
    'batched_nms': (suppress_by_class, 'nms'),
    'batched_soft_nms': (suppress_by_class, 'soft_nms'),
    'match': (match, 80),
    'match_one': (match, 1),
    'match_none': (match, 0),
    'align': (align,),
    'align_dense': (lambda: align(samples=0),),
    'align_unaligned': (lambda: align(aligned=False),),
    'align_dense_unaligned': (lambda: align(samples=0, aligned=False),),
    'align_whole_scale': (lambda: align(scale=1.0, size=(7, 7), samples=0),),
    'align_none': (align, 0),
    'align_half': (align, 7, torch.float16),
    'align_double': (align, 7, torch.float64),
    'convolve': (convolve,),
    'convolve_weight': (convolve, (False, False, True)),
    'convolve_input': (convolve, (True, True, False)),
    'convolve_groups': (lambda: convolve(groups=2),),
    'convolve_deform_groups': (lambda: convolve(deform_groups=2, stride=2),),
    'convolve_all': (lambda: convolve(groups=2, deform_groups=4, stride=2, dilation=2),),
    'modulate': (modulate,),
    'modulate_no_bias': (modulate, False),
    'modulate_groups': (lambda: modulate(groups=2, stride=2),),
    'modulate_all': (lambda: modulate(groups=2, deform_groups=4, stride=2, dilation=2),),
}


def run(name):
    """Arrays that a case gives, by name."""
    function, *arguments = CASES[name]
    return {key: value.numpy() for key, value in function(*arguments).items()}
