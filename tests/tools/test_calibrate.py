"""tools/calibrate.py, tools/test.py --calibration, and calibrated scores in inference."""

import json
import pickle
import sys
from types import SimpleNamespace

import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from tiny_runs import EPOCHS, load_tool, one_line_error, run_here, write_config
from torch import nn

from mmdet_alrp.calibration import CalibrationError, read_calibration
from mmdet_alrp.engine.score_calibration import ScoreCalibrationHook, calibrate_scores
from mmdet_alrp.engine.score_thresholds import ScoreThresholdHook

CHECKPOINT = f'epoch_{EPOCHS}.pth'
calibrate = load_tool('calibrate')


def ground_truth(num_images=30):
    """Two objects of the first class and one of the second in every image."""
    boxes = [(1, [0, 0, 10, 10]), (1, [100, 0, 10, 10]), (2, [50, 50, 10, 10])]
    images = [{'id': i, 'width': 200, 'height': 100} for i in range(1, num_images + 1)]
    return {
        'images': images,
        'categories': [
            {'id': 1, 'name': 'cat'},
            {'id': 2, 'name': 'dog'},
            {'id': 3, 'name': 'owl'},
        ],
        'annotations': [
            {'id': 3 * i + j, 'image_id': image['id'], 'category_id': cat, 'bbox': box}
            for i, image in enumerate(images)
            for j, (cat, box) in enumerate(boxes)
        ],
    }


def detections(num_images=30):
    """Cats with IoU .9 at low scores and false ones at lower; dogs in a few images; no owl."""
    found = []
    for i in range(1, num_images + 1):
        rows = [(1, [0, 0, 10, 9], 0.10 + i / 1000), (1, [100, 0, 10, 6], 0.05 + i / 1000)]
        rows += [(1, [150, 50, 10, 10], 0.01 + i / 1000)]
        rows += [(2, [50, 50, 10, 8], 0.2)] if i % 10 == 0 else []
        found += [
            {'image_id': i, 'category_id': cat, 'bbox': box, 'score': score}
            for cat, box, score in rows
        ]
    return found


def write(folder, truth, found):
    paths = folder / 'gt.json', folder / 'dt.json'
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    return [str(path) for path in paths]


def run(*options):
    return calibrate.main([str(option) for option in options])


def test_maps_thresholds_and_errors_by_hand(tmp_path, capsys):
    files, out = write(tmp_path, ground_truth(), detections()), tmp_path / 'made' / 'scores.json'
    assert run(*files, '--out', out, '--folds', '5') == 0
    fitted = read_calibration(out)
    cat, dog = fitted.classes['cat'], fitted.classes['dog']
    # all cats with an object are worth keeping, and nothing else
    assert (cat.num_detections, dog.num_detections) == (60, 3)
    assert cat.raw_threshold == pytest.approx(0.051)
    assert cat.knots([0.12, 0.06]) == pytest.approx([0.9, 0.6], abs=1e-3)
    assert dog.knots is None and fitted.classes['owl'].raw_threshold is None
    # cats are off by .7845 (.9 - .1155) and .5345 (.6 - .0655), dogs by .6
    before = ((0.7845 + 0.5345) / 2 + 0.6) / 2
    assert fitted.errors['before']['LaECE_0'] == pytest.approx(before)
    assert fitted.errors['after']['LaECE_0'] < fitted.errors['cross_fitted']['LaECE_0'] + 0.01 < 0.1
    printed = capsys.readouterr().out
    assert 'cat: 60 detections, own map; threshold 0.0510 becomes 0.59' in printed
    assert 'dog: 3 detections, map of all classes (fewer than 20 detections)' in printed
    assert f'before: LaECE_0 {before:.4f}' in printed and 'on other images, 5 folds' in printed
    assert str(out) in printed


@pytest.mark.parametrize('method', ['isotonic', 'platt', 'linear', 'temperature'])
@pytest.mark.parametrize('agnostic', [(), ('--class-agnostic',)], ids=['by class', 'agnostic'])
def test_methods_and_one_map_for_all(tmp_path, capsys, method, agnostic):
    files, out = write(tmp_path, ground_truth(), detections()), tmp_path / 'scores.json'
    assert run(*files, '--out', out, '--method', method, *agnostic) == 0
    fitted = read_calibration(out)
    assert fitted.method == method
    assert (fitted.classes['cat'].knots is None) == bool(agnostic)
    assert fitted.errors['after']['LaECE_0'] < fitted.errors['before']['LaECE_0']
    printed = capsys.readouterr().out
    assert '--folds 5 judges on others' in printed and 'cross-fitted' not in printed


def test_backends_fit_the_same(tmp_path):
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is optional')
    files, written = write(tmp_path, ground_truth(), detections()), []
    for backend in ('pycocotools', 'faster_coco_eval'):
        out = tmp_path / f'{backend}.json'
        assert run(*files, '--out', out, '--backend', backend, '--folds', 3) == 0
        written.append(out.read_text())
    assert written[0] == written[1]


def changed(found, index, **values):
    return [{**det, **values} if i == index else det for i, det in enumerate(found)]


BAD_INPUT = {
    'no detection': ([], (), 'dt.json: there is no detection to calibrate'),
    'score above 1': (changed(detections(), 4, score=1.5), (), 'detection 4: "score" is 1.5'),
    'negative score': (changed(detections(), 4, score=-0.1), (), 'in [0, 1]'),
    'other classes': (changed(detections(), 4, category_id=9), (), 'category_id 9 is no category'),
    'too many folds': (detections(), ('--folds', 31), 'there are only 30 images'),
    'settings': (detections(), ('--cfg-options', 'a=1'), 'need CONFIG.py CHECKPOINT'),
    'one fold': (detections(), ('--folds', 1), '--folds must be at least 2, got 1'),
    'method': (detections(), ('--method', 'spline'), 'spline'),
    'place': (detections(), ('--out', '/proc/scores.json'), '/proc/scores.json'),
    'masks': (detections(), ('--iou-type', 'segm'), '"segmentation" is missing'),
}


@pytest.mark.parametrize(('found', 'options', 'message'), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line(tmp_path, capsys, found, options, message):
    files, out = write(tmp_path, ground_truth(), found), tmp_path / 'scores.json'
    try:
        status = run(*files, '--out', out, *options)
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 2 and line.startswith('calibrate.py: error: ') and message in line
    assert not out.exists()


def test_without_scikit_learn(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    files, out = write(tmp_path, ground_truth(), detections()), tmp_path / 'scores.json'
    assert run(*files, '--out', out) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'mmdet-alrp[calibration]'" in line
    assert run(*files, '--out', out, '--method', 'platt') == 0


CLASSES = ('dog', 'cat', 'emu')


class Detector(nn.Module):
    """Finds the same four things in every image."""

    def __init__(self, score_thr=None):
        super().__init__()
        self.test_cfg = None if score_thr is None else {'score_thr': score_thr}

    def forward(self, mode='predict'):
        found = InstanceData(
            scores=torch.tensor([0.2, 0.12, 0.06, 0.02]),
            labels=torch.tensor([0, 1, 1, 1]),
            bboxes=torch.arange(16.0).reshape(4, 4),
        )
        return [DetDataSample(pred_instances=found)] if mode == 'predict' else {'loss': 1.0}


@pytest.fixture(scope='module')
def calibration(tmp_path_factory):
    folder = tmp_path_factory.mktemp('calibration')
    assert run(*write(folder, ground_truth(), detections()), '--out', folder / 'scores.json') == 0
    content = json.loads((folder / 'scores.json').read_text())
    for key in ('classes', 'thresholds', 'raw_thresholds', 'detections'):
        content[key].pop('owl')
    (folder / 'scores.json').write_text(json.dumps(content))
    return folder / 'scores.json'


def test_scores_of_a_detector_are_mapped_by_label(calibration):
    model = Detector()
    handle = calibrate_scores(model, calibration, CLASSES)
    fitted = read_calibration(calibration)
    expected = [fitted.knots_of('dog')(0.2), *fitted.knots_of('cat')([0.12, 0.06, 0.02])]
    assert model()[0].pred_instances.scores.tolist() == pytest.approx(expected, abs=1e-6)
    assert model(mode='loss') == {'loss': 1.0}
    assert sorted(model.state_dict()) == ['score_map.ious', 'score_map.scores']
    with pytest.raises(ValueError, match='calibrated already'):
        calibrate_scores(model, calibration, CLASSES)
    handle.remove()
    assert model()[0].pred_instances.scores.tolist() == pytest.approx([0.2, 0.12, 0.06, 0.02])
    assert not model.state_dict()


def test_score_thr_of_the_config_means_calibrated_scores(calibration):
    model = Detector(score_thr=0.7)
    handle = calibrate_scores(model, calibration, CLASSES)
    scores = model()[0].pred_instances.scores
    assert len(scores) == 2 and scores.min() >= 0.7  # the dog and the better cat
    # the head itself cuts off only what no class would get .7 for
    assert 0.0 < model.test_cfg['score_thr'] < 0.1
    handle.remove()
    assert model.test_cfg == {'score_thr': 0.7} and len(model()[0].pred_instances) == 4


@pytest.mark.parametrize('first', ['thresholds', 'calibration'])
def test_thresholds_by_class_get_calibrated_scores_in_any_order(calibration, first):
    model = Detector()
    dataset = SimpleNamespace(metainfo={'classes': CLASSES})
    runner = SimpleNamespace(model=model, test_dataloader=SimpleNamespace(dataset=dataset))
    hooks = [ScoreThresholdHook(str(calibration)), ScoreCalibrationHook(str(calibration))]
    for hook in hooks if first == 'thresholds' else reversed(hooks):
        hook.before_test(runner)
    assert len(model()[0].pred_instances) == 3  # all but the false cat
    for hook in hooks:
        hook.after_test(runner)
    assert len(model()[0].pred_instances) == 4


def test_other_classes_are_refused(calibration):
    with pytest.raises(CalibrationError, match=r'classes: cat, dog \(2 of 2\); .* car, bus'):
        calibrate_scores(Detector(), calibration, ('car', 'bus'))
    with pytest.raises(CalibrationError, match='give classes='):
        calibrate_scores(Detector(), calibration)


def test_class_that_was_not_fitted_gets_the_map_of_all_and_a_warning(calibration, caplog):
    model = Detector()
    with caplog.at_level('WARNING'):
        calibrate_scores(model, calibration, CLASSES)
    emu, dog = (model.score_map.ious[label] for label in (2, 0))
    assert emu.equal(dog)  # too few dogs


@pytest.fixture(scope='module')
def tiny_calibration(tiny_config, trained, tmp_path_factory):
    """Fitted straight from config and checkpoint, and the detections before and after."""
    folder = tmp_path_factory.mktemp('tiny')
    fitted = run_here(
        'calibrate.py', tiny_config, trained / CHECKPOINT, '--out', 'scores.json', cwd=folder
    )
    assert fitted.returncode == 0, fitted.stderr[-3000:]
    assert 'map of all classes' in fitted.stdout and 'before: LaECE_0' in fitted.stdout
    found = {}
    for name, options in (('plain', ()), ('calibrated', ('--calibration', 'scores.json'))):
        result = run_here(
            'test.py',
            *(tiny_config, trained / CHECKPOINT, '--work-dir', name, '--out', f'{name}.pkl'),
            *('--cfg-options', f'test_evaluator.outfile_prefix={name}', *options),
            cwd=folder,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        found[name] = pickle.loads((folder / f'{name}.pkl').read_bytes())
    return folder, found


def figures(folder, name):
    (log,) = folder.glob(f'{name}/*/*.json')
    return json.loads(log.read_text())


def test_tool_maps_scores_and_keeps_ap_and_olrp(tiny_calibration):
    folder, found = tiny_calibration
    fitted = read_calibration(folder / 'scores.json')
    classes = list(fitted.classes)
    changed = 0
    for plain, calibrated in zip(found['plain'], found['calibrated'], strict=True):
        raw, new = plain['pred_instances'], calibrated['pred_instances']
        assert raw['labels'].tolist() == new['labels'].tolist() and len(raw['labels'])
        for score, label, got in zip(raw['scores'], raw['labels'], new['scores'], strict=True):
            assert float(got) == pytest.approx(
                fitted.knots_of(classes[label])(float(score)), abs=1e-5
            )
            changed += abs(float(got) / float(score) - 1) > 0.1
    assert changed > 20
    before, after = (figures(folder, name) for name in ('plain', 'calibrated'))
    for name in ('bbox_mAP', 'bbox_mAP_50', 'bbox_oLRP', 'bbox_oLRP_Loc', 'bbox_oLRP_FN'):
        assert after[f'coco/{name}'] == pytest.approx(
            before[f'coco/{name}'], abs=1e-9, nan_ok=True
        ), name


def test_views_of_test_time_augmentation_are_mapped(tiny_calibration, tiny_config, trained):
    folder, found = tiny_calibration
    options = ('--tta', '--calibration', 'scores.json', '--out', 'tta.pkl', '--work-dir', 'tta')
    result = run_here('test.py', tiny_config, trained / CHECKPOINT, *options, cwd=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    merged = pickle.loads((folder / 'tta.pkl').read_bytes())
    highest = {
        name: max(float(image['pred_instances']['scores'].max()) for image in images)
        for name, images in (*found.items(), ('tta', merged))
    }
    # this detector's scores are all near .0105, whatever the view, and the maps lead to .039
    assert highest['plain'] < 0.02 < 0.03 < highest['calibrated']
    assert highest['tta'] == pytest.approx(highest['calibrated'], abs=0.005)


def test_json_files_give_the_maps_of_config_and_checkpoint(tiny_calibration, tiny_shapes):
    folder, _ = tiny_calibration
    found = folder / 'plain.bbox.json'
    assert run(tiny_shapes / 'val.json', found, '--out', folder / 'again.json') == 0
    assert (folder / 'again.json').read_text() == (folder / 'scores.json').read_text()


def test_hook_in_a_config_and_inference_give_the_same(tiny_calibration, tiny_shapes, trained):
    folder, found = tiny_calibration
    path = folder / 'scores.json'
    hooks = [{'type': 'ScoreCalibrationHook', 'calibration': str(path)}]
    config = write_config(folder / 'with_hook.py', tiny_shapes, custom_hooks=hooks)
    checkpoint = trained / CHECKPOINT
    result = run_here('test.py', config, checkpoint, '--out', 'hook.pkl', cwd=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    by_hook = pickle.loads((folder / 'hook.pkl').read_bytes())
    expected = [image['pred_instances']['scores'] for image in found['calibrated']]
    for image, scores in zip(by_hook, expected, strict=True):
        torch.testing.assert_close(image['pred_instances']['scores'], scores)

    model = init_detector(str(config), str(checkpoint), device='cpu')
    calibrate_scores(model, path)
    image = found['plain'][0]['img_path']
    scores = inference_detector(model, image).pred_instances.scores
    torch.testing.assert_close(scores, expected[0])
    inferencer = DetInferencer(str(config), str(checkpoint), device='cpu', show_progress=False)
    calibrate_scores(inferencer.model, path)
    (prediction,) = inferencer(image, no_save_vis=True, return_vis=False)['predictions']
    assert prediction['scores'] == pytest.approx(expected[0].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (None, 'cannot be read'),
        ('{"AP": 1}', 'no calibration: write one with tools/calibrate.py'),
        ('other classes', 'calibration of other classes: cat, dog'),
    ],
)
def test_wrong_calibration_of_a_test_is_one_line(
    tiny_config, trained, calibration, tmp_path, monkeypatch, capsys, content, expected
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'wrong.json'
    if content:
        path.write_text(calibration.read_text() if content == 'other classes' else content)
    line = one_line_error(capsys, 'test', tiny_config, trained / CHECKPOINT, '--calibration', path)
    assert '--calibration: ' in line and expected in line


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        ('val_evaluator.ann_file=None', 'val_evaluator with the ann_file'),
        ('default_scope=mmseg', 'no detector'),
        ('test_cfgg=1', "no key 'test_cfgg'"),
    ],
)
def test_config_that_cannot_be_calibrated_is_one_line(
    tiny_config, trained, tmp_path, monkeypatch, capsys, change, expected
):
    monkeypatch.chdir(tmp_path)
    options = ['--out', 'scores.json', '--cfg-options', change]
    with pytest.raises(SystemExit) as stop:
        sys.exit(run(tiny_config, trained / CHECKPOINT, *options))
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and expected in line
