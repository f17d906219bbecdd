"""Saliency measures straight from their papers, in plain NumPy and float64."""

import numpy as np

EPS = np.finfo(float).eps


def f_measure(predicted, target, beta2):
    hits = np.sum(predicted & target)
    if not hits:
        return 0.0
    precision, recall = hits / predicted.sum(), hits / target.sum()
    return (1 + beta2) * precision * recall / (beta2 * precision + recall)


def enhanced_alignment(predicted, target):
    """Fan et al., IJCAI 2018, Eq. 2-4, pixel by pixel."""
    if not target.any() or target.all():
        enhanced = predicted if target.all() else ~predicted
    else:
        p, t = predicted - predicted.mean(), target - target.mean()
        enhanced = (1 + 2 * p * t / (p * p + t * t + EPS)) ** 2 / 4
    return enhanced.sum() / (target.size - 1)


def object_similarity(values):
    return 2 * values.mean() / (values.mean() ** 2 + 1 + values.std(ddof=1))


def similarity(pred, target):
    """Structural similarity of one quarter, Fan et al., ICCV 2017, Eq. 3."""
    covariance = np.cov(pred.ravel(), target.ravel())
    x, y = pred.mean(), target.mean()
    top = 4 * x * y * covariance[0, 1]
    bottom = (x * x + y * y) * (covariance[0, 0] + covariance[1, 1])
    return top / bottom if top else float(bottom == 0)


def structure_measure(pred, target):
    """Fan et al., ICCV 2017, with equal weights of objects and regions."""
    share = target.mean()
    objects = share * object_similarity(pred[target])
    objects += (1 - share) * object_similarity(1 - pred[~target])
    rows, columns = np.nonzero(target)
    y, x = (int(np.round(values.mean())) + 1 for values in (rows, columns))
    regions = 0.0
    for part in (np.s_[:y, :x], np.s_[:y, x:], np.s_[y:, :x], np.s_[y:, x:]):
        regions += target[part].size / target.size * similarity(pred[part], target[part] * 1.0)
    return max(0.0, (objects + regions) / 2)


def oracle(probs, target, beta2=0.3, stretch=True):
    """Figures in plain loops over images and thresholds."""
    tables = {name: [] for name in ('F', 'E', 'adpF', 'adpE', 'MAE', 'Smeasure')}
    for p, t in zip(probs, target, strict=True):
        p = np.round(255 * p) / 255
        if stretch:
            p = (p - p.min()) / (p.max() - p.min())
        # Compared as 8-bit numbers, which cuts off what is behind the point
        cuts = [np.floor(255 * p) >= threshold for threshold in range(256)]
        tables['F'].append([f_measure(cut, t, beta2) for cut in cuts])
        tables['E'].append([enhanced_alignment(cut, t) for cut in cuts])
        adaptive = p >= min(2 * p.mean(), 1)
        tables['adpF'].append(f_measure(adaptive, t, beta2))
        tables['adpE'].append(enhanced_alignment(adaptive, t))
        tables['MAE'].append(np.abs(p - t).mean())
        tables['Smeasure'].append(structure_measure(p, t))
    mean = {name: np.mean(values, axis=0) for name, values in tables.items()}
    for curve in 'FE':
        values = mean.pop(curve)
        mean.update({f'max{curve}': values.max(), f'mean{curve}': values.mean()})
    return mean


def weighted_f(pred, split):
    """Margolin et al., CVPR 2014, for an object that fills the columns before ``split``."""
    height, width = pred.shape
    target = np.tile(np.arange(width) < split, (height, 1))
    errors = np.abs(pred - target)
    # Each pixel behind the object takes the error of the nearest one of the object
    spread = errors[:, np.minimum(np.arange(width), split - 1)]
    weights = [[np.exp(-(y * y + x * x) / 50) for x in range(-3, 4)] for y in range(-3, 4)]
    weights = np.array(weights) / np.sum(weights)
    padded = np.pad(spread, 3)
    hits, misses, false = 0.0, [], 0.0
    for y in range(height):
        for x in range(width):
            smooth = np.sum(weights * padded[y : y + 7, x : x + 7])
            if target[y, x]:
                misses.append(min(errors[y, x], smooth))
                hits += 1 - misses[-1]
            else:
                false += errors[y, x] * (2 - 0.5 ** ((x - split + 1) / 5))
    recall, precision = 1 - np.mean(misses), hits / (hits + false)
    return 2 * recall * precision / (recall + precision)
