"""Small random data sets with everything that COCO's rules treat specially."""

import numpy as np
from pycocotools import mask as mask_api

from mmdet_alrp.evaluation.coco_matching import index_coco, load_detections

SIZE = 320
NUM_CATS = 5  # the fourth has no ground truth, the fifth no detections


def random_box(rng):
    width, height = np.exp(rng.uniform(np.log(8), np.log(200), 2)).round(1)
    x, y = rng.uniform(0, SIZE - 200, 2).round(1)
    return [float(v) for v in (x, y, width, height)]


def jittered(box, rng):
    noise = rng.normal(0, rng.choice([0.03, 0.15]), 4)
    x, y, w, h = box
    moved = (x + noise[0] * w, y + noise[1] * h, w * np.exp(noise[2]), h * np.exp(noise[3]))
    return [round(float(v), 1) for v in (max(moved[0], 0), max(moved[1], 0), *moved[2:])]


def random_scene(seed, num_images=6, crowded=False):
    rng = np.random.default_rng(seed)
    images = [{'id': 10 + i, 'width': SIZE, 'height': SIZE} for i in range(num_images)]
    categories = [{'id': 2 * c + 1, 'name': f'thing {c}'} for c in range(NUM_CATS)]
    annotations, detections = [], []
    for image in images[1:]:  # the first image has neither
        for _ in range(rng.integers(0, 9)):
            cat_id = int(rng.choice([1, 3, 5, 9]))
            box = random_box(rng)
            gt = {'image_id': image['id'], 'category_id': cat_id, 'bbox': box}
            gt['iscrowd'] = int(rng.random() < 0.15)
            gt['area'] = round(box[2] * box[3] * rng.choice([1.0, 0.7]), 2)
            annotations.append({**gt, 'id': len(annotations) + 1})
            if image is images[-1] or cat_id == 9:
                continue  # objects without detections
            for _ in range(rng.integers(0, 4)):
                det = {'image_id': image['id'], 'category_id': cat_id, 'bbox': jittered(box, rng)}
                detections.append(det)
        for _ in range(rng.integers(0, 4)):
            cat_id = int(rng.choice([1, 3, 7]))
            det = {'image_id': image['id'], 'category_id': cat_id, 'bbox': random_box(rng)}
            detections.append(det)
    if crowded:  # more than 100 detections of one class in one image
        box = random_box(rng)
        gt = {'image_id': 11, 'category_id': 1, 'bbox': box, 'iscrowd': 0, 'area': box[2] * box[3]}
        annotations.append({**gt, 'id': len(annotations) + 1})
        for _ in range(130):
            det = {'image_id': 11, 'category_id': 1, 'bbox': jittered(box, rng)}
            detections.append(det)
    for det in detections:
        det['score'] = round(float(rng.random()), 1)  # many ties
    return {
        'images': images,
        'annotations': annotations,
        'categories': categories,
        'detections': detections,
    }


def add_masks(scene, seed=0):
    """Give every object and detection an ellipse as mask (``pixels`` for the oracle)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    for entry in scene['annotations'] + scene['detections']:
        x, y, w, h = entry['bbox']
        squeeze = rng.choice([1.0, 0.8])
        dx, dy = (columns - x - w / 2) / (w / 2 * squeeze), (rows - y - h / 2) / (h / 2)
        entry['pixels'] = dx**2 + dy**2 <= 1
        mask = mask_api.encode(np.asfortranarray(entry['pixels'].astype(np.uint8)))
        entry['segmentation'] = {**mask, 'counts': mask['counts'].decode()}
        if 'iscrowd' in entry:
            entry['area'] = int(entry['pixels'].sum())
    return scene


def files_of(scene):
    """Ground truth and detections as they stand in COCO files."""
    gt = {key: [dict(e) for e in scene[key]] for key in ('images', 'annotations', 'categories')}
    detections = [dict(det) for det in scene['detections']]
    for entry in gt['annotations'] + detections:
        entry.pop('pixels', None)
    return gt, detections


def coco_pair(scene, iou_type='bbox'):
    gt, detections = files_of(scene)
    coco_gt = index_coco(gt)
    return coco_gt, load_detections(coco_gt, detections, iou_type)
