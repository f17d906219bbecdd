import json
import math

import numpy as np
import pytest
import torch
from in_processes import start_processes
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from scenes import add_masks, coco_pair, files_of, random_scene

from mmdet_alrp.evaluation import CocoLRPMetric, evaluate_lrp

OLRP_KEYS = ('oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN', 'oLRP_s', 'oLRP_m', 'oLRP_l', 'rho')


def data_samples(scene, masks=False):
    """What a detector hands to a metric, one sample an image."""
    labels = {cat['id']: label for label, cat in enumerate(scene['categories'])}
    samples = []
    for image in scene['images']:
        dets = [det for det in scene['detections'] if det['image_id'] == image['id']]
        boxes = torch.tensor([det['bbox'] for det in dets], dtype=torch.float64).reshape(-1, 4)
        pred = {
            'bboxes': torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1),
            'scores': torch.tensor([det['score'] for det in dets], dtype=torch.float64),
            'labels': torch.tensor([labels[det['category_id']] for det in dets]).long(),
        }
        if masks:
            pred['masks'] = [dict(det['segmentation']) for det in dets]
        anns = [ann for ann in scene['annotations'] if ann['image_id'] == image['id']]
        instances = [
            {'bbox_label': labels[ann['category_id']], 'ignore_flag': ann['iscrowd']}
            | {'bbox': [*ann['bbox'][:2], *map(sum, zip(ann['bbox'], ann['bbox'][2:]))]}  # noqa: B905
            for ann in anns
        ]
        sample = {'img_id': image['id'], 'ori_shape': (image['height'], image['width'])}
        samples.append({**sample, 'pred_instances': pred, 'instances': instances})
    return samples


def ann_file_of(scene, folder):
    path = folder / 'gt.json'
    path.write_text(json.dumps(files_of(scene)[0]))
    return str(path)


def run(metric, scene, masks=False):
    samples = data_samples(scene, masks)
    metric.dataset_meta = {'classes': tuple(cat['name'] for cat in scene['categories'])}
    metric.process({}, samples[:2])
    metric.process({}, samples[2:])
    return metric.evaluate(size=len(samples))


def assert_equal_but_for_rounding(ours, parents):
    for key, value in parents.items():
        assert round(ours[key], 3) == pytest.approx(value, abs=1e-12, nan_ok=True), key


@pytest.mark.parametrize('crowded', [False, True])
def test_boxes_agree_with_the_parent_and_with_the_function(tmp_path, crowded):
    scene = random_scene(1, crowded=crowded)
    ann_file = ann_file_of(scene, tmp_path)
    parents = run(CocoMetric(ann_file, classwise=True), scene)
    ours = run(CocoLRPMetric(ann_file, classwise=True), scene)
    assert_equal_but_for_rounding(ours, parents)
    report = evaluate_lrp(*coco_pair(scene))
    expected = {f'coco/bbox_{name}': report.lrp()[name] for name in OLRP_KEYS}
    expected |= {f'coco/bbox_{c.name}_oLRP': c.best.olrp for c in report.classes}
    got = {key: value for key, value in ours.items() if key not in parents}
    assert got == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert ours['coco/bbox_mAP'] == pytest.approx(report.ap['AP'], abs=1e-9)


def test_only_the_best_100_detections_of_an_image_count_for_olrp(tmp_path):
    # the parent looks at up to 1000, so that its AP at IoU .5 is perfect here
    boxes = [[12.0 * (i % 20), 12.0 * (i // 20), 10.0, 10.0] for i in range(105)]
    common = {'image_id': 1, 'category_id': 1}
    scene = {
        'images': [{'id': 1, 'width': 300, 'height': 300}],
        'categories': [{'id': 1, 'name': 'thing'}],
        'annotations': [
            {**common, 'id': i + 1, 'bbox': box, 'area': 100, 'iscrowd': 0}
            for i, box in enumerate(boxes)
        ],
        'detections': [{**common, 'bbox': b, 'score': 1 - i / 200} for i, b in enumerate(boxes)],
    }
    ours = run(CocoLRPMetric(ann_file_of(scene, tmp_path)), scene)
    assert ours['coco/bbox_mAP_50'] == 1
    assert ours['coco/bbox_oLRP'] == pytest.approx(5 / 105)
    assert ours['coco/bbox_oLRP_FN'] == pytest.approx(5 / 105)
    assert evaluate_lrp(*coco_pair(scene)).lrp()['oLRP'] == ours['coco/bbox_oLRP']


def test_masks_and_boxes_together(tmp_path):
    scene = add_masks(random_scene(2))
    options = {'ann_file': ann_file_of(scene, tmp_path), 'metric': ['bbox', 'segm']}
    ours = run(CocoLRPMetric(**options, tau=0.6), scene, masks=True)
    assert_equal_but_for_rounding(ours, run(CocoMetric(**options), scene, masks=True))
    for iou_type in ('bbox', 'segm'):
        expected = evaluate_lrp(*coco_pair(scene, iou_type), iou_type, tau=0.6).lrp()
        got = {name: ours[f'coco/{iou_type}_{name}'] for name in OLRP_KEYS}
        assert got == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    'options',
    [
        {'metric': ['bbox', 'proposal']},
        {'metric_items': ['mAP_l', 'AR@1000']},
        {'iou_thrs': np.array([0.5, 0.9]), 'metric_items': ['mAP']},
        {'proposal_nums': (1, 10, 100)},
        {'proposal_nums': (1, 10, 50)},  # COCO's 100 is none of them
        {'use_mp_eval': True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_the_parent_keep_their_meaning(tmp_path, options):
    scene = random_scene(3)
    options = {'ann_file': ann_file_of(scene, tmp_path), **options}
    parents = run(CocoMetric(**options), scene)
    ours = run(CocoLRPMetric(**options), scene)
    assert_equal_but_for_rounding(ours, parents)
    lrp = evaluate_lrp(*coco_pair(scene)).lrp()
    assert set(ours) == set(parents) | {f'coco/bbox_{name}' for name in OLRP_KEYS}
    assert ours['coco/bbox_oLRP'] == pytest.approx(lrp['oLRP'], abs=1e-9)


def test_fast_recall_of_proposals(tmp_path):
    # the parent cannot be the judge: it fails with NumPy 1.24 and later
    scene = random_scene(3)
    for ann in scene['annotations']:
        ann['iscrowd'] = 0
    scene['detections'] = [
        {'image_id': ann['image_id'], 'category_id': 1, 'bbox': ann['bbox'], 'score': 0.5}
        for ann in scene['annotations'][::2]
    ]
    metric = CocoLRPMetric(ann_file_of(scene, tmp_path), metric=['proposal_fast', 'bbox'])
    figures = run(metric, scene)
    share = len(scene['detections']) / len(scene['annotations'])
    assert figures['coco/AR@1000'] == pytest.approx(share)
    assert 'coco/bbox_oLRP' in figures


def test_ground_truth_from_the_data_set_without_an_annotation_file():
    scene = random_scene(4)
    ours = run(CocoLRPMetric(), scene)
    assert_equal_but_for_rounding(ours, run(CocoMetric(), scene))
    assert 0 < ours['coco/bbox_oLRP'] < 1


def test_format_only_writes_what_the_parent_writes(tmp_path):
    scene = random_scene(0)
    options = {'ann_file': ann_file_of(scene, tmp_path), 'format_only': True}
    for metric_type, name in ((CocoMetric, 'parent'), (CocoLRPMetric, 'ours')):
        metric = metric_type(**options, outfile_prefix=str(tmp_path / name))
        assert run(metric, scene) == {}
    written = [(tmp_path / f'{name}.bbox.json').read_text() for name in ('parent', 'ours')]
    assert written[0] == written[1] and len(json.loads(written[0])) == len(scene['detections'])
    assert sorted(path.name for path in tmp_path.glob('ours*')) == ['ours.bbox.json']


@pytest.mark.parametrize('option', ['outfile_prefix', 'thresholds_prefix'])
def test_thresholds_are_written(tmp_path, option):
    scene = random_scene(5)
    metric = CocoLRPMetric(ann_file_of(scene, tmp_path), **{option: str(tmp_path / 'out' / 'run')})
    (tmp_path / 'out').mkdir()
    run(metric, scene)
    written = json.loads((tmp_path / 'out' / 'run.bbox.thresholds.json').read_text())
    assert written == evaluate_lrp(*coco_pair(scene)).thresholds()
    assert not list((tmp_path / 'out').glob('.*'))


@pytest.mark.parametrize('with_ann_file', [True, False])
def test_nothing_detected_is_ap_0_and_olrp_1(tmp_path, with_ann_file):
    scene = add_masks({**random_scene(0), 'detections': []})
    ann_file = ann_file_of(scene, tmp_path) if with_ann_file else None
    metrics = ['bbox', 'segm'] if with_ann_file else 'bbox'
    ours = run(CocoLRPMetric(ann_file, metric=metrics, classwise=True), scene, masks=True)
    for iou_type in ['bbox', 'segm'] if with_ann_file else ['bbox']:
        assert ours[f'coco/{iou_type}_mAP'] == ours[f'coco/{iou_type}_mAP_50'] == 0
        assert ours[f'coco/{iou_type}_oLRP'] == ours[f'coco/{iou_type}_oLRP_FN'] == 1
        assert math.isnan(ours[f'coco/{iou_type}_oLRP_Loc'])


def test_no_image_at_all(tmp_path):
    metric = CocoLRPMetric(ann_file_of(random_scene(0), tmp_path))
    metric.dataset_meta = {'classes': ('thing 0', 'thing 1')}
    assert metric.compute_metrics([])['bbox_oLRP'] == 1
    with pytest.raises(ValueError, match='nothing to measure'):
        CocoLRPMetric().compute_metrics([])


def test_no_ground_truth_at_all():
    scene = {**random_scene(0), 'annotations': []}
    ours = run(CocoLRPMetric(), scene)
    assert ours['coco/bbox_mAP'] == -1  # pycocotools' word for undefined
    assert math.isnan(ours['coco/bbox_oLRP'])


def test_masks_that_are_asked_for_but_missing(tmp_path):
    scene = random_scene(0)
    with pytest.raises(KeyError, match='segm is not in results'):
        run(CocoLRPMetric(ann_file_of(scene, tmp_path), metric='segm'), scene)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'tau': 1.0}, ValueError, 'tau'),
        ({'metric_items': ['mAP', 'oLRP2']}, KeyError, 'oLRP2'),
        ({'metric': 'boxes'}, KeyError, 'boxes'),
        ({'tua': 0.5}, TypeError, 'tua'),
    ],
)
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        CocoLRPMetric(**options)


def test_is_registered_under_its_name():
    assert isinstance(METRICS.build({'type': 'CocoLRPMetric', 'tau': 0.6}), CocoLRPMetric)


def evaluate_in_group(rank, world_size, scene, ann_file, folder):
    import os

    os.chdir(folder)  # MMEngine collects through a folder in the working directory
    store = f'file://{folder}/store'
    torch.distributed.init_process_group('gloo', store, rank=rank, world_size=world_size)
    metric = CocoLRPMetric(ann_file)
    metric.dataset_meta = {'classes': tuple(cat['name'] for cat in scene['categories'])}
    metric.process({}, data_samples(scene)[rank::world_size])
    figures = metric.evaluate(size=len(scene['images']))
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(figures, file)
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_figures_of_one(tmp_path):
    scene = random_scene(6)
    ann_file = ann_file_of(scene, tmp_path)
    start_processes(evaluate_in_group, (2, scene, ann_file, str(tmp_path)), 2)
    expected = run(CocoLRPMetric(ann_file), scene)
    for rank in range(2):
        figures = json.loads((tmp_path / f'{rank}.json').read_text())
        assert figures == pytest.approx(expected, abs=1e-12, nan_ok=True)
