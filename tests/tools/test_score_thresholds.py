import json
import pickle
from types import SimpleNamespace

import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from mmdet.models import DetTTAModel
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from tiny_runs import EPOCHS, one_line_error, run_here, write_config
from torch import nn

from mmdet_alrp.engine.score_thresholds import (
    ScoreThresholdHook,
    filter_by_score,
    thresholds_of_labels,
)
from mmdet_alrp.evaluation.threshold_files import ThresholdError, read_thresholds
from mmdet_alrp.guards.checkpoint_safety import load_safely

CHECKPOINT = f'epoch_{EPOCHS}.pth'
CLASSES = ('cat', 'dog', 'owl')
THRESHOLDS = {'cat': 0.5, 'dog': None, 'owl': 0.125}


class Detector(nn.Module):
    """Finds the same five things in every image."""

    def forward(self, mode='predict'):
        if mode == 'loss':
            return {'loss': torch.tensor(1.0)}
        found = InstanceData(
            scores=torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0]),
            labels=torch.tensor([0, 0, 2, 2, 1]),
            bboxes=torch.arange(20.0).reshape(5, 4),
        )
        return [DetDataSample(pred_instances=found.clone()) for _ in range(2)]


def kept(samples):
    return [sample.pred_instances.bboxes[:, 0].tolist() for sample in samples]


def test_equal_scores_stay_and_a_class_without_threshold_keeps_all():
    model = Detector()
    handle = filter_by_score(model, THRESHOLDS, CLASSES)
    assert kept(model()) == [[0.0, 8.0, 16.0]] * 2
    assert model(mode='loss') == {'loss': torch.tensor(1.0)}
    handle.remove()
    assert kept(model()) == [[0.0, 4.0, 8.0, 12.0, 16.0]] * 2


def test_labels_follow_the_names_of_the_model_and_not_the_order_of_the_file():
    model = Detector()
    model.dataset_meta = {'classes': ('owl', 'dog', 'cat')}
    filter_by_score(model, THRESHOLDS)
    assert kept(model()) == [[0.0, 4.0, 16.0]] * 2


def test_no_detection_left():
    model = Detector()
    filter_by_score(model, dict.fromkeys(CLASSES, 1.0), CLASSES)
    for sample in model():
        assert sample.pred_instances.bboxes.shape == (0, 4)


def test_wrapped_for_test_time_augmentation():
    detector = Detector()
    detector.test_step = lambda data: detector()
    model = DetTTAModel(module=detector, tta_cfg={'nms': {'type': 'nms', 'iou_threshold': 0.5}})
    filter_by_score(model, THRESHOLDS, CLASSES)
    assert kept(model.module()) == [[0.0, 8.0, 16.0]] * 2


def test_tool_filters_the_views_of_test_time_augmentation(
    tiny_config, trained, thresholds_file, tmp_path
):
    # a test loop hands the views to the detector as tuples, which it gives back
    path, values, _ = thresholds_file
    kinds = {'plain': (), 'kept': ('--score-thr', path)}
    scores, labels = {}, {}
    for name, options in kinds.items():
        options = ('--tta', *options, '--out', f'{name}.pkl')
        result = run_here('test.py', tiny_config, trained / CHECKPOINT, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr[-3000:]
        found = pickle.loads((tmp_path / f'{name}.pkl').read_bytes())
        scores[name] = torch.cat([image['pred_instances']['scores'] for image in found])
        labels[name] = torch.cat([image['pred_instances']['labels'] for image in found])
    low = {name: scores[name] < torch.tensor(values)[labels[name]] for name in kinds}
    assert low['plain'].any() and len(scores['kept']) and not low['kept'].any()


def test_outputs_of_other_modes_pass_untouched():
    model = Detector()
    filter_by_score(model, THRESHOLDS, CLASSES)
    model.forward = lambda: ([torch.ones(2)], (torch.zeros(3),))
    assert torch.equal(model()[1][0], torch.zeros(3))


def test_hook_filters_tests_only():
    model = Detector()
    dataset = SimpleNamespace(metainfo={'classes': CLASSES})
    runner = SimpleNamespace(model=model, test_dataloader=SimpleNamespace(dataset=dataset))
    hook = ScoreThresholdHook(THRESHOLDS)
    hook.before_test(runner)
    assert kept(model()) == [[0.0, 8.0, 16.0]] * 2
    hook.after_test(runner)
    assert len(kept(model())[0]) == 5


def test_classes_without_threshold_are_named():
    values, without = thresholds_of_labels({'owl': 0.25, 'dog': None}, CLASSES)
    assert values.tolist() == [0.0, 0.0, 0.25]
    assert without == ['cat', 'dog']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'cannot be read'),
        ('{', 'not valid JSON'),
        ('[0.5]', 'no thresholds by class name'),
        ('{}', 'no thresholds by class name'),
        ('{"AP": 0.4, "thresholds": {}}', 'no thresholds by class name'),
        ('{"cat": "0.5"}', "'cat' must be a score in [0, 1] or null, got '0.5'"),
        ('{"cat": 1.5}', "'cat' must be a score"),
        ('{"cat": NaN}', "'cat' must be a score"),
        ('{"cat": true}', "'cat' must be a score"),
    ],
)
def test_unusable_files(tmp_path, text, message):
    path = tmp_path / 'thresholds.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ThresholdError) as error:
        read_thresholds(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_whole_report_and_bare_mapping(tmp_path):
    path = tmp_path / 'figures.json'
    for content in ({'AP': 0.25, 'thresholds': THRESHOLDS}, THRESHOLDS):
        path.write_text(json.dumps(content))
        assert read_thresholds(path) == THRESHOLDS


def test_unknown_classes_and_no_classes():
    with pytest.raises(ThresholdError, match=r'unknown classes: emu \(1 of 2\).* cat, dog, owl'):
        filter_by_score(Detector(), {'cat': 0.5, 'emu': 0.5}, CLASSES)
    with pytest.raises(ThresholdError, match='give classes='):
        filter_by_score(Detector(), THRESHOLDS)


TWINS = ('cat', 'owl', 'cat')


@pytest.mark.parametrize(
    ('cat_ids', 'values'), [((2, 5, 9), [0.2, 0.5, 0.9]), ((9, 5, 2), [0.9, 0.5, 0.2])]
)
def test_two_classes_of_one_name_are_told_apart_as_a_report_names_them(cat_ids, values):
    thresholds = {'cat (9)': 0.9, 'cat (2)': 0.2, 'owl': 0.5}
    found, without = thresholds_of_labels(thresholds, TWINS, cat_ids)
    assert found.tolist() == pytest.approx(values) and without == []
    for unknown in (None, (2, 5)):  # then the labels follow the ids
        found, _ = thresholds_of_labels(thresholds, TWINS, unknown)
        assert found.tolist() == pytest.approx([0.2, 0.5, 0.9])


def test_one_threshold_for_two_classes_of_one_name():
    found, without = thresholds_of_labels({'cat': 0.5}, TWINS, (2, 5, 9))
    assert found.tolist() == [0.5, 0.0, 0.5] and without == ['owl']
    found, without = thresholds_of_labels({'cat': 0.5, 'cat (9)': None}, TWINS, (2, 5, 9))
    assert found.tolist() == [0.5, 0.0, 0.0] and without == ['owl', 'cat (9)']


def test_thresholds_of_some_classes_of_one_name_need_their_ids():
    assert thresholds_of_labels({'cat (9)': 0.5}, TWINS, (2, 5, 9))[0].tolist() == [0.0, 0.0, 0.5]
    with pytest.raises(ThresholdError, match=r'unknown classes: cat \(9\) \(1 of 1\)'):
        thresholds_of_labels({'cat (9)': 0.5}, TWINS)
    with pytest.raises(ThresholdError, match=r'unknown classes: cat \(7\)'):
        thresholds_of_labels({'cat (7)': 0.5, 'cat (9)': 0.5}, TWINS, (2, 5, 9))


def test_hook_takes_the_category_ids_of_the_data_set():
    model = Detector()
    dataset = SimpleNamespace(metainfo={'classes': TWINS}, cat_ids=[9, 5, 2])
    runner = SimpleNamespace(model=model, test_dataloader=SimpleNamespace(dataset=dataset))
    ScoreThresholdHook({'cat (2)': 1.0, 'cat (9)': 0.5, 'owl': 1.0}).before_test(runner)
    assert kept(model()) == [[0.0]] * 2


@pytest.fixture(scope='module')
def thresholds_file(tiny_config, trained, tmp_path_factory):
    """Thresholds about the middle of the tiny model's scores, one class without."""
    folder = tmp_path_factory.mktemp('thresholds')
    options = ('--out', 'plain.pkl', '--show-dir', 'drawn', '--work-dir', 'plain')
    result = run_here('test.py', tiny_config, trained / CHECKPOINT, *options, cwd=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    found = pickle.loads((folder / 'plain.pkl').read_bytes())
    scores = torch.cat([image['pred_instances']['scores'] for image in found])
    labels = torch.cat([image['pred_instances']['labels'] for image in found])
    classes = load_safely(trained / CHECKPOINT)['meta']['dataset_meta']['classes']
    middle = {
        name: float(scores[labels == label].median()) if (labels == label).any() else 0.5
        for label, name in enumerate(classes)
    }
    middle[classes[0]] = None
    path = folder / 'thresholds.json'
    path.write_text(json.dumps({'AP': 0.0, 'thresholds': middle}))
    return path, [middle[name] or 0.0 for name in classes], found


def passing(found, values):
    instances = found['pred_instances']
    keep = instances['scores'] >= torch.tensor(values)[instances['labels']]
    return instances['scores'][keep].tolist()


def test_tool_drops_and_draws(tiny_config, trained, thresholds_file, tmp_path):
    path, values, plain = thresholds_file
    result = run_here(
        'test.py',
        tiny_config,
        trained / CHECKPOINT,
        *('--score-thr', path, '--out', 'kept.pkl', '--show-dir', 'drawn', '--work-dir', 'run'),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found = pickle.loads((tmp_path / 'kept.pkl').read_bytes())
    scores = [image['pred_instances']['scores'].tolist() for image in found]
    assert scores == [passing(image, values) for image in plain]
    assert (
        0 < sum(map(len, scores)) < sum(len(image['pred_instances']['scores']) for image in plain)
    )
    after = sorted((tmp_path / 'run').glob('*/drawn/*.jpg'))
    before = sorted(path.parent.glob('plain/*/drawn/*.jpg'))
    assert [picture.name for picture in after] == [picture.name for picture in before]
    # before: what scores more than .3 whatever its class; after: what passed
    pairs = zip(after, before, strict=True)
    assert any(new.read_bytes() != old.read_bytes() for new, old in pairs)
    assert 'is dropped: ' in result.stdout + result.stderr


def test_inference_api_and_config_give_the_same(tiny_shapes, trained, thresholds_file, tmp_path):
    path, values, plain = thresholds_file
    hooks = [{'type': 'ScoreThresholdHook', 'thresholds': str(path)}]
    config = write_config(tmp_path / 'with_hook.py', tiny_shapes, custom_hooks=hooks)
    model = init_detector(str(config), str(trained / CHECKPOINT), device='cpu')
    filter_by_score(model, path)
    scores = inference_detector(model, plain[0]['img_path']).pred_instances.scores
    torch.testing.assert_close(scores, torch.tensor(passing(plain[0], values)))

    options = ('--out', 'kept.pkl')
    result = run_here('test.py', config, trained / CHECKPOINT, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    found = pickle.loads((tmp_path / 'kept.pkl').read_bytes())
    kept_scores = [image['pred_instances']['scores'].tolist() for image in found]
    assert kept_scores == [passing(image, values) for image in plain]


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ({'emu': 0.5}, 'unknown classes: emu (1 of 1); the model detects '),
        ({'emu': 7}, "the threshold of 'emu' must be a score in [0, 1]"),
        ([], 'no thresholds by class name'),
    ],
)
def test_wrong_thresholds_are_one_line(
    tiny_config, trained, tmp_path, monkeypatch, capsys, content, expected
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'wrong.json'
    path.write_text(json.dumps(content))
    line = one_line_error(capsys, 'test', tiny_config, trained / CHECKPOINT, '--score-thr', path)
    assert '--score-thr: ' in line
    assert expected in line
