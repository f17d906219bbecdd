"""A set of detections small enough to be judged by hand, and what comes out."""

CATEGORIES = ('cell', 'dot', 'rod')
# image, class, box
OBJECTS = [
    (1, 1, [0, 0, 10, 10]),
    (1, 1, [100, 0, 10, 10]),
    (2, 1, [0, 0, 10, 10]),
    (2, 3, [40, 40, 10, 10]),
]
# image, class, box, score
DETECTIONS = [
    (1, 1, [0, 0, 10, 8], 0.9),  # IoU .8
    (1, 1, [100, 0, 10, 6], 0.7),  # IoU .6
    (1, 1, [50, 50, 10, 10], 0.6),  # nothing; no object is free any more
    (2, 1, [0, 0, 10, 3], 0.3),  # IoU .3
    (2, 1, [50, 50, 10, 10], 0.2),  # nothing
    (1, 2, [50, 50, 10, 10], 0.4),  # no dot anywhere
]
# LRP of the cells at tau 0, by threshold
LRP = {
    0.9: (0.2 + 0 + 2) / 3,
    0.7: (0.2 + 0.4 + 0 + 1) / 3,
    0.6: (0.2 + 0.4 + 1 + 1) / 4,
    0.3: (0.2 + 0.4 + 0.7 + 1 + 0) / 4,
    0.2: (0.2 + 0.4 + 0.7 + 2 + 0) / 5,
}
# two cells survive, each in a bin of its own; of the dots all do; no rod was found
CELL = (abs(0.9 - 0.8) + abs(0.7 - 0.6)) / 2
DOT = 0.4
EXPECTED = {
    'LaECE_0': (CELL + DOT) / 2,
    'LaACE_0': (CELL + DOT) / 2,
    'D_ECE': (abs(0.9 - 1) + abs(0.7 - 1) + abs(0.4 - 0)) / 3,
}


def golden_scene():
    common = {'width': 200, 'height': 100}
    return {
        'images': [{'id': 1, **common}, {'id': 2, **common}],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(CATEGORIES, 1)],
        'annotations': [
            {'id': i, 'image_id': image, 'category_id': cat, 'bbox': box, 'area': 100, 'iscrowd': 0}
            for i, (image, cat, box) in enumerate(OBJECTS, 1)
        ],
        'detections': [
            {'image_id': image, 'category_id': cat, 'bbox': box, 'score': score}
            for image, cat, box, score in DETECTIONS
        ],
    }
