"""The backends give the same numbers, to the last bit."""

import json
import sys

import numpy as np
import pytest
from pycocotools import mask as mask_api
from scenes import add_masks, coco_pair, random_scene
from test_coco_lrp_metric import ann_file_of, run
from test_lrp import IOU_6, IOU_8, MISS, golden_pair, load_coco_100, lonely_objects

from mmdet_alrp.evaluation import CocoLRPMetric, evaluate_lrp
from mmdet_alrp.evaluation import coco_matching as plain
from mmdet_alrp.evaluation.backends import lrp_evaluator
from mmdet_alrp.evaluation.coco_matching import (
    RHO_IOU,
    LRPEval,
    index_coco,
    load_detections,
    silenced,
)
from mmdet_alrp.evaluation.flat_matching import FlatMatching, flat_annotations

MISSING = "the backend 'faster_coco_eval' is not installed: pip install faster-coco-eval"


def faster_backend():
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is optional')
    return 'faster_coco_eval'


def evaluated(backend, coco_gt, coco_dt, iou_type, tau, **params):
    evaluator = lrp_evaluator(backend)(coco_gt, coco_dt, iou_type)
    evaluator.tau = tau
    for name, value in params.items():
        setattr(evaluator.params, name, value)
    with silenced():
        evaluator.evaluate()
        evaluator.accumulate()
        if len(evaluator.params.maxDets) == 3:
            evaluator.summarize()
    return evaluator


def assert_same(coco_gt, coco_dt, iou_type='bbox', tau=0.5, **params):
    pair = [
        evaluated(backend, coco_gt, coco_dt, iou_type, tau, **params)
        for backend in ('pycocotools', faster_backend())
    ]
    ours, faster = pair
    for name in ('precision', 'recall', 'scores'):
        np.testing.assert_array_equal(faster.eval[name], ours.eval[name], name)
    assert list(faster.eval['counts']) == list(ours.eval['counts'])
    np.testing.assert_array_equal(faster.stats, ours.stats)
    for class_index in range(len(ours.params.catIds)):
        for area_index in range(4):
            for thr in (tau, RHO_IOU):
                for max_dets in (100, 3):
                    got, expected = (
                        vars(e.class_matches(class_index, area_index, thr, max_dets)) for e in pair
                    )
                    for name in expected:
                        np.testing.assert_array_equal(got[name], expected[name], name)
    assert_same_reports(coco_gt, coco_dt, iou_type, tau)


def assert_same_reports(coco_gt, coco_dt, iou_type='bbox', tau=0.5):
    ours, faster = (
        evaluate_lrp(coco_gt, coco_dt, iou_type, tau, backend)
        for backend in ('pycocotools', faster_backend())
    )
    # repr, because NaN differs from itself and all other numbers have their own
    assert repr(faster.summary()) == repr(ours.summary())
    assert faster.thresholds() == ours.thresholds()
    for got, expected in zip(faster.classes, ours.classes, strict=True):
        assert got.num_gt == expected.num_gt
        for name in ('name', 'cat_id', 'ap', 'ap50', 'ap75', 'best', 'olrp_by_area', 'rho'):
            assert repr(getattr(got, name)) == repr(getattr(expected, name)), name


@pytest.mark.parametrize('tau', [0.5, 0.75, 0.37, 0.62])
@pytest.mark.parametrize('seed', range(8))
def test_boxes(seed, tau):
    assert_same(*coco_pair(random_scene(seed, crowded=seed % 4 == 0)), tau=tau)


@pytest.mark.parametrize('seed', range(3))
def test_masks_twice_and_after_one_another(seed):
    # both backends write into the shared annotations
    coco_gt, coco_dt = coco_pair(add_masks(random_scene(seed)), 'segm')
    for tau in (0.5, 0.65):
        assert_same(coco_gt, coco_dt, 'segm', tau)


@pytest.mark.parametrize(
    'params',
    [
        {'iouThrs': np.array([0.9, 0.6])},
        {'maxDets': [100, 1000, 300]},
        {'maxDets': [2, 5]},
        {'catIds': [7, 1]},
        {'imgIds': [11, 13, 14]},
        {'recThrs': np.linspace(0, 1, 11)},
    ],
    ids=lambda params: next(iter(params)),
)
def test_parameters_keep_their_meaning(params):
    assert_same(*coco_pair(random_scene(4, crowded=True)), tau=0.55, **params)


@pytest.mark.parametrize('tau', [0.5, 0.62])
def test_coco_100(tau):
    coco_gt, detections = load_coco_100()
    assert_same(coco_gt, load_detections(coco_gt, detections, 'bbox'), tau=tau)


def test_coco_100_with_boxes_as_masks():
    coco_gt, detections = load_coco_100()
    for det in detections:
        x, y, w, h = det['bbox']
        image = coco_gt.imgs[det['image_id']]
        outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        runs = mask_api.frPyObjects(outline, image['height'], image['width'])
        det['segmentation'] = mask_api.merge(runs)
    coco_dt = load_detections(coco_gt, detections, 'segm')
    assert 0 < evaluate_lrp(coco_gt, coco_dt, 'segm').ap['AP'] < 0.5
    assert_same(coco_gt, coco_dt, 'segm')


@pytest.mark.parametrize('num_gt', [1, 2, 3, 4, 5, 200, 256, 257])
@pytest.mark.parametrize('num_hits', [1, 2])
def test_a_single_true_positive_is_one_bit_short_of_precision_1(num_gt, num_hits):
    boxes = [[20.0 * (i % 40), 20.0 * (i // 40), 10.0, 10.0] for i in range(num_gt)]
    common = {'image_id': 1, 'category_id': 1}
    coco_gt = index_coco(
        {
            'images': [{'id': 1, 'width': 800, 'height': 800}],
            'categories': [{'id': 1, 'name': 'thing'}],
            'annotations': [
                {**common, 'id': i + 1, 'bbox': box, 'area': 100, 'iscrowd': 0}
                for i, box in enumerate(boxes)
            ],
        }
    )
    hits = [{**common, 'bbox': b, 'score': 0.9 - i / 999} for i, b in enumerate(boxes[:num_hits])]
    miss = {**common, 'bbox': [700, 700, 9, 9], 'score': 0.5}
    coco_dt = load_detections(coco_gt, [*hits, miss], 'bbox')
    first = evaluated('pycocotools', coco_gt, coco_dt, 'bbox', 0.5).eval['precision'][0, 0, 0, 0, 2]
    assert (first == 1.0) == (min(num_hits, num_gt) == 2)
    assert_same(coco_gt, coco_dt)


def test_of_two_objects_with_the_same_iou_the_later_one_is_taken():
    # golden_pair's objects are at 0 and 100; a box over both leaves the first to the next box
    coco_gt, coco_dt = golden_pair([([0, 0, 110, 10], 0.9), ([0, 0, 10, 10], 0.8)])
    assert evaluate_lrp(coco_gt, coco_dt, tau=0.05).lrp()['oLRP_FP'] == 0
    assert_same(coco_gt, coco_dt, tau=0.05)


def test_small_cases():
    for rows in ([], [(MISS, 0.9)], [(IOU_8, 0.9), (MISS, 0.9), (IOU_6, 0.5)]):
        assert_same(*golden_pair(rows, num_extra_cats=1))
    assert_same(*lonely_objects(0))
    for gt in ({'images': [], 'categories': []}, {'images': [{'id': 1}], 'categories': []}):
        coco_gt = index_coco({**gt, 'annotations': []})
        assert_same_reports(coco_gt, load_detections(coco_gt, [], 'bbox'))


def test_an_annotation_with_id_zero_is_reported():
    coco_gt, coco_dt = golden_pair([(IOU_8, 0.9)])
    coco_gt.anns[0] = coco_gt.anns.pop(1)
    coco_gt.anns[0]['id'] = 0
    coco_gt.createIndex()
    with pytest.warns(UserWarning, match='id 0'):
        evaluate_lrp(coco_gt, coco_dt, backend=faster_backend())


def test_the_metric(tmp_path):
    scene = add_masks(random_scene(2))
    options = {'ann_file': ann_file_of(scene, tmp_path), 'metric': ['bbox', 'segm'], 'tau': 0.6}
    options |= {'classwise': True}
    expected = run(CocoLRPMetric(**options), scene, masks=True)
    prefix = str(tmp_path / 'faster')
    metric = CocoLRPMetric(**options, backend=faster_backend(), thresholds_prefix=prefix)
    assert repr(run(metric, scene, masks=True)) == repr(expected)
    reference = evaluate_lrp(*coco_pair(scene), tau=0.6).thresholds()
    assert json.loads((tmp_path / 'faster.bbox.thresholds.json').read_text()) == reference


def test_the_metric_without_detections_and_without_ground_truth(tmp_path):
    for changes in ({'detections': []}, {'annotations': []}):
        scene = {**random_scene(0), **changes}
        ann_file = ann_file_of(scene, tmp_path)
        expected = run(CocoLRPMetric(ann_file), scene)
        assert repr(run(CocoLRPMetric(ann_file, backend=faster_backend()), scene)) == repr(expected)


def test_pycocotools_matches_every_image_class_and_size_once(monkeypatch, tmp_path):
    calls = []
    match = plain.COCOeval.evaluateImg

    def counted(self, img_id, cat_id, area_range, max_det):
        calls.append((img_id, cat_id, tuple(area_range)))
        return match(self, img_id, cat_id, area_range, max_det)

    monkeypatch.setattr(plain.COCOeval, 'evaluateImg', counted)
    scene = random_scene(1)
    expected = len(scene['images']) * len(scene['categories']) * 4
    for tau in (0.5, 0.62):
        calls.clear()
        evaluate_lrp(*coco_pair(scene), tau=tau)
        assert len(calls) == len(set(calls)) == expected
    calls.clear()
    run(CocoLRPMetric(ann_file_of(scene, tmp_path), tau=0.62), scene)
    assert len(calls) == len(set(calls)) == expected


def test_faster_coco_eval_runs_once_and_pycocotools_not_at_all(monkeypatch):
    module = sys.modules[lrp_evaluator(faster_backend()).__module__]
    runs = []

    class Counted(module.COCOeval_faster):
        def evaluate(self):
            runs.append(self)
            super().evaluate()

    monkeypatch.setattr(module, 'COCOeval_faster', Counted)
    monkeypatch.setattr(plain.COCOeval, 'evaluateImg', None)
    evaluate_lrp(*coco_pair(random_scene(1)), tau=0.62, backend='faster_coco_eval')
    assert len(runs) == 1


def test_a_missing_backend_names_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    for build in (
        lambda: CocoLRPMetric(backend='faster_coco_eval'),
        lambda: evaluate_lrp(*golden_pair([]), backend='faster_coco_eval'),
    ):
        with pytest.raises(ModuleNotFoundError) as refusal:
            build()
        assert str(refusal.value) == MISSING
    assert lrp_evaluator('pycocotools') is LRPEval


def test_wrong_backends_are_refused():
    with pytest.raises(ValueError, match='known: pycocotools, faster_coco_eval'):
        CocoLRPMetric(backend='fast')
    with pytest.raises(ValueError, match='use_mp_eval'):
        CocoLRPMetric(backend=faster_backend(), use_mp_eval=True)


def test_only_what_was_evaluated_is_there():
    evaluator = evaluated(faster_backend(), *coco_pair(random_scene(0)), 'bbox', 0.6)
    with pytest.raises(ValueError, match=r'IoU 0\.6 and 0\.5, not 0\.7'):
        evaluator.class_matches(0, 0, 0.7, 100)
    with pytest.raises(ValueError, match='parameters of evaluate'):
        evaluator.accumulate(type(evaluator.params)())


def test_tables_that_do_not_fit_are_refused():
    coco_gt, coco_dt = golden_pair([(IOU_8, 0.9)])
    gt, dt = flat_annotations(coco_gt, [1], [1]), flat_annotations(coco_dt, [1], [1], 100)
    FlatMatching(gt, dt, [(0, np.zeros((1, 2)))])
    with pytest.raises(ValueError, match='do not fit'):
        FlatMatching(gt, dt, [(0, np.zeros((2, 2)))])
