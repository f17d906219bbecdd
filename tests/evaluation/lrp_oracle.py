"""A slow LRP in plain Python, straight from the definitions; shares no code with the package."""

import math

import numpy as np

AREAS = {
    'all': (0, 1e10),
    'small': (0, 32**2),
    'medium': (32**2, 96**2),
    'large': (96**2, 1e10),
}


def box_overlap(det, gt):
    dx, dy, dw, dh = det['bbox']
    gx, gy, gw, gh = gt['bbox']
    width = min(dx + dw, gx + gw) - max(dx, gx)
    height = min(dy + dh, gy + gh) - max(dy, gy)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared, dw * dh, gw * gh


def mask_overlap(det, gt):
    shared = int((det['pixels'] & gt['pixels']).sum())
    return shared, int(det['pixels'].sum()), int(gt['pixels'].sum())


def iou_of(det, gt, overlap):
    shared, det_area, gt_area = overlap(det, gt)
    # a crowd region may hold the detection: it is judged by the detection's own area
    union = det_area if gt['iscrowd'] else det_area + gt_area - shared
    return shared / union if union else 0.0


def choose(det, gts, available, iou_thr, overlap):
    """Index of the available object with the highest IoU at or above the threshold, or None."""
    best, choice = min(iou_thr, 1 - 1e-10), None
    for index, gt in enumerate(gts):
        if available[index] and iou_of(det, gt, overlap) >= best:
            best, choice = iou_of(det, gt, overlap), index
    return choice


def match_image(gts, dets, area, iou_thr, overlap, max_dets=100):
    """(score, is_tp, iou) of every counted detection, and the number of counted objects."""
    low, high = AREAS[area]
    ignored = [bool(gt['iscrowd']) or not low <= gt['area'] <= high for gt in gts]
    taken = [False] * len(gts)
    rows = []
    for det in sorted(dets, key=lambda d: -d['score'])[:max_dets]:
        wanted = [not t and not i for t, i in zip(taken, ignored, strict=True)]
        choice = choose(det, gts, wanted, iou_thr, overlap)
        if choice is not None:
            taken[choice] = True
            rows.append((det['score'], True, iou_of(det, gts[choice], overlap)))
            continue
        spare = [
            i and (not t or gt['iscrowd']) for t, i, gt in zip(taken, ignored, gts, strict=True)
        ]
        choice = choose(det, gts, spare, iou_thr, overlap)
        if choice is not None:
            taken[choice] = True
            continue  # neither right nor wrong
        masks = overlap is mask_overlap
        det_area = det['pixels'].sum() if masks else det['bbox'][2] * det['bbox'][3]
        if low <= det_area <= high:
            rows.append((det['score'], False, 0.0))
    return rows, ignored.count(False)


def match_class(scene, cat_id, area, iou_thr, overlap):
    rows, num_gt = [], 0
    for image in scene['images']:
        key = (image['id'], cat_id)
        gts = [g for g in scene['annotations'] if (g['image_id'], g['category_id']) == key]
        dets = [d for d in scene['detections'] if (d['image_id'], d['category_id']) == key]
        found, count = match_image(gts, dets, area, iou_thr, overlap)
        rows += found
        num_gt += count
    return rows, num_gt


def lrp_by_threshold(rows, num_gt, tau):
    """{threshold: (LRP, Loc, FP, FN)} where Loc and FP are NaN without a true positive."""
    table = {}
    for threshold in {score for score, _, _ in rows}:
        kept = [row for row in rows if row[0] >= threshold]
        errors = [1 - iou for _, is_tp, iou in kept if is_tp]
        num_tp, num_fp = len(errors), len(kept) - len(errors)
        num_fn = num_gt - num_tp
        lrp = (sum(e / (1 - tau) for e in errors) + num_fp + num_fn) / (num_tp + num_fp + num_fn)
        loc = sum(errors) / num_tp if num_tp else math.nan
        fp = num_fp / (num_tp + num_fp) if num_tp else math.nan
        table[threshold] = (lrp, loc, fp, num_fn / num_gt)
    return table


def best_of(rows, num_gt, tau):
    """(LRP, Loc, FP, FN) at the optimum, or None without ground truth."""
    if num_gt == 0:
        return None
    table = lrp_by_threshold(rows, num_gt, tau)
    with_tp = {thr: row for thr, row in table.items() if not math.isnan(row[1])}
    if not with_tp:
        return (1.0, math.nan, math.nan, 1.0)
    lowest = min(row[0] for row in with_tp.values())
    # of minima that are equal but for rounding the highest score counts
    return with_tp[max(thr for thr, row in with_tp.items() if row[0] <= lowest + 1e-12)]


def ranks(values):
    return [
        sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2
        for value in values
    ]


def rho_of(rows):
    pairs = [(score, iou) for score, is_tp, iou in rows if is_tp]
    if len(pairs) < 2:
        return math.nan
    by_score, by_iou = ranks([p[0] for p in pairs]), ranks([p[1] for p in pairs])
    if len(set(by_score)) == 1 or len(set(by_iou)) == 1:
        return math.nan
    return float(np.corrcoef(by_score, by_iou)[0, 1])


def mean(values):
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else math.nan


def slow_lrp(scene, tau=0.5, iou_type='bbox'):
    """The LRP figures of a report, and {class name: {threshold: LRP}}."""
    overlap = mask_overlap if iou_type == 'segm' else box_overlap
    best = {area: [] for area in AREAS}
    rhos, tables = [], {}
    for cat in scene['categories']:
        for area in AREAS:
            rows, num_gt = match_class(scene, cat['id'], area, tau, overlap)
            optimum = best_of(rows, num_gt, tau)
            best[area] += [] if optimum is None else [optimum]
            if area == 'all' and num_gt:
                table = lrp_by_threshold(rows, num_gt, tau)
                tables[cat['name']] = {thr: row[0] for thr, row in table.items()}
        rows, num_gt = match_class(scene, cat['id'], 'all', 0.5, overlap)
        rhos.append(rho_of(rows) if num_gt else math.nan)
    names = ('oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN')
    figures = {name: mean([row[i] for row in best['all']]) for i, name in enumerate(names)}
    for name, area in (('oLRP_s', 'small'), ('oLRP_m', 'medium'), ('oLRP_l', 'large')):
        figures[name] = mean([row[0] for row in best[area]])
    return {**figures, 'rho': mean(rhos)}, tables
