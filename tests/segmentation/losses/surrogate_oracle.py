"""Surrogates, and the metrics they stand for, in plain Python loops over images and pixels."""

from itertools import product

import numpy as np


def bezier(points):
    """Curve through control points; the place in a segment is found by bisection."""

    def evaluate(x):
        first = 0
        while first + 2 < len(points) - 1 and x > points[first + 2][0]:
            first += 2
        corners = points[first : first + 3]

        def at(t, axis):
            a, b, c = (corner[axis] for corner in corners)
            return (1 - t) ** 2 * a + 2 * (1 - t) * t * b + t**2 * c

        low, high = 0.0, 1.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if at(middle, 0) < x else (low, middle)
        return at((low + high) / 2, 1)

    return evaluate


def pixels(array):
    return product(*map(range, array.shape))


def neighbours(row, col, reach, shape):
    rows = range(max(row - reach, 0), min(row + reach + 1, shape[0]))
    return list(product(rows, range(max(col - reach, 0), min(col + reach + 1, shape[1]))))


def target_edge(labels, label, image, row, col):
    """Whether a pixel is of the class, beside one that is not; ignored pixels are -1."""
    if labels[image, row, col] != label:
        return False
    around = neighbours(row, col, 1, labels.shape[1:])
    return any(labels[(image, *place)] != label for place in around)


def near_target_edge(labels, label, image, row, col, tolerance):
    around = neighbours(row, col, tolerance, labels.shape[1:])
    return any(target_edge(labels, label, image, *place) for place in around)


def near_any_edge(labels, classes, place, tolerance):
    return any(near_target_edge(labels, c, *place, tolerance) for c in classes)


def region_score(probs, labels, weights, metric, curves):
    """mIoU, FWIoU, mAcc or gAcc; labels are -1 where ignored."""
    curve_and, curve_or = curves[0], curves[-1]
    scores, counts, hits = [], [], []
    for label in range(probs.shape[1]):
        both = either = count = 0.0
        for image, row, col in pixels(labels):
            if labels[image, row, col] < 0:
                continue
            weight = weights[image, row, col]
            prob, truth = probs[image, label, row, col], float(labels[image, row, col] == label)
            both += weight * curve_and(prob) * truth
            soft = curve_or(prob)
            either += weight * (soft + truth - soft * truth)
            count += weight * truth
        whole = count if metric in ('mAcc', 'gAcc') else either
        scores.append(both / whole if whole else 0.0)
        counts.append(count)
        hits.append(both)
    if metric == 'gAcc':
        return sum(hits) / sum(counts)
    if metric == 'FWIoU':
        return float(np.dot(scores, counts) / sum(counts))
    return sum(scores) / len(scores)


def boundary_iou(probs, labels, weights, curves, tolerance, drop):
    band = np.full_like(labels, -1)
    for place in pixels(labels):
        if near_any_edge(labels, range(drop, probs.shape[1]), place, tolerance):
            band[place] = labels[place]
    return region_score(probs, band, weights, 'mIoU', curves)


def soft_edge(probs, curves, image, label, row, col):
    around = neighbours(row, col, 1, probs.shape[2:])
    prob, inner = probs[image, label, row, col], min(probs[(image, label, *p)] for p in around)
    and_prob, and_inner, or_prob, or_inner = curves
    a, b = or_prob(prob), or_inner(inner)
    return max(a + b - a * b - and_prob(prob) * and_inner(inner), 0.0)


def boundary_f1(probs, labels, weights, curves, tolerance, drop, count_ignored):
    scores = []
    shape = labels.shape[1:]
    for label in range(drop, probs.shape[1]):
        right = predicted = found = edges = 0.0
        soft = np.zeros(labels.shape)
        for image, row, col in pixels(labels):
            soft[image, row, col] = soft_edge(probs, curves, image, label, row, col)
        for image, row, col in pixels(labels):
            valid = labels[image, row, col] >= 0
            weight = weights[image, row, col] if valid else 1.0
            edge = soft[image, row, col]
            if near_target_edge(labels, label, image, row, col, tolerance):
                right += weight * edge
                predicted += weight * edge
            elif valid or count_ignored:
                predicted += weight * edge
            if target_edge(labels, label, image, row, col):
                reach = max(soft[(image, *p)] for p in neighbours(row, col, tolerance, shape))
                found += weight * reach
                edges += weight
        if edges:
            precision = right / predicted if predicted else 0.0
            recall = found / edges
            total = precision + recall
            scores.append(2 * precision * recall / total if total else 0.0)
    return sum(scores) / len(scores)


def score(metric, probs, labels, weights, curves, tolerance=1, drop=False, count_ignored=True):
    """Score of soft predictions, (N, C, H, W); labels (N, H, W) are -1 where ignored."""
    if metric == 'BF1':
        return boundary_f1(probs, labels, weights, curves, tolerance, drop, count_ignored)
    if metric == 'BIoU':
        return boundary_iou(probs, labels, weights, curves, tolerance, drop)
    return region_score(probs, labels, weights, metric, curves)


def metric_of_labels(metric, predicted, labels, num_classes, tolerance=1, count_ignored=True):
    """The metric itself, on predicted labels: sets of pixels, no probability and no curve."""
    if metric == 'BIoU':
        kept = [
            place
            for place in pixels(labels)
            if labels[place] >= 0 and near_any_edge(labels, range(num_classes), place, tolerance)
        ]
    else:
        kept = [place for place in pixels(labels) if labels[place] >= 0]
    said = [{p for p in kept if predicted[p] == c} for c in range(num_classes)]
    true = [{p for p in kept if labels[p] == c} for c in range(num_classes)]
    if metric == 'gAcc':
        return sum(len(a & b) for a, b in zip(said, true, strict=True)) / len(kept)
    if metric == 'mAcc':
        return np.mean([len(a & b) / len(b) for a, b in zip(said, true, strict=True)])
    if metric == 'BF1':
        of_class = (predicted, labels, tolerance, count_ignored)
        return np.mean([_hard_f1(c, *of_class) for c in range(num_classes)])
    ious = [len(a & b) / len(a | b) for a, b in zip(said, true, strict=True)]
    shares = [len(b) / len(kept) for b in true]
    return float(np.dot(ious, shares)) if metric == 'FWIoU' else np.mean(ious)


def _hard_f1(label, predicted, labels, tolerance, count_ignored):
    true = {p for p in pixels(labels) if target_edge(labels, label, *p)}
    said = {p for p in pixels(labels) if target_edge(predicted, label, *p)}
    near_true = {p for p in pixels(labels) if _near(p, true, tolerance)}
    counted = {p for p in said if count_ignored or labels[p] >= 0 or p in near_true}
    precision = len(said & near_true) / len(counted) if counted else 0.0
    recall = sum(_near(p, said, tolerance) for p in true) / len(true)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(place, edge, tolerance):
    image, row, col = place
    return any(
        i == image and abs(r - row) <= tolerance and abs(c - col) <= tolerance for i, r, c in edge
    )
