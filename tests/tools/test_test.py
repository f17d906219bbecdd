import json
import pickle
import zipfile

import pytest
import torch
from pycocotools.coco import COCO
from tiny_runs import EPOCHS, FOCAL_HEAD, one_line_error, run_here, run_tool, write_config

from mmdet_alrp.guards.checkpoint_safety import load_safely

CHECKPOINT = f'epoch_{EPOCHS}.pth'


def test_same_figures_as_at_the_end_of_training(tiny_config, trained, tmp_path):
    options = ['--work-dir', 'run', '--out', 'found/predictions.pkl', '--show-dir', 'drawn']
    result = run_tool('test.py', tiny_config, trained / CHECKPOINT, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]

    (train_log,) = trained.glob('*/vis_data/scalars.json')
    expected = json.loads(train_log.read_text().splitlines()[-1])
    (test_log,) = (tmp_path / 'run').glob('*/*.json')
    figures = json.loads(test_log.read_text())
    names = [name for name in figures if name.startswith('coco/')]
    assert 'coco/bbox_oLRP' in names
    assert {name: figures[name] for name in names} == {name: expected[name] for name in names}

    predictions = pickle.loads((tmp_path / 'found' / 'predictions.pkl').read_bytes())
    assert len(predictions) == 6
    assert all(len(found['pred_instances']['scores']) for found in predictions)
    assert [path.name for path in (tmp_path / 'found').iterdir()] == ['predictions.pkl']
    assert len(list((tmp_path / 'run').glob('*/drawn/*.jpg'))) == 6


def test_test_time_augmentation_changes_the_predictions(tiny_config, trained, tmp_path):
    for name, options in (('plain', []), ('tta', ['--tta'])):
        result = run_here(
            'test.py',
            tiny_config,
            trained / CHECKPOINT,
            *('--out', f'{name}.pkl', *options),
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr[-3000:]
    plain, tta = (
        pickle.loads((tmp_path / f'{name}.pkl').read_bytes()) for name in ('plain', 'tta')
    )
    assert [found['img_id'] for found in plain] == [found['img_id'] for found in tta]
    assert any(
        first['pred_instances']['scores'].tolist() != second['pred_instances']['scores'].tolist()
        for first, second in zip(plain, tta, strict=True)
    )


@pytest.fixture(scope='module')
def submission(tiny_shapes, trained, tmp_path_factory):
    """Annotation-free file as COCO's test-dev has it, and the zip that was made for it."""
    folder = tmp_path_factory.mktemp('submission')
    content = json.loads((tiny_shapes / 'val.json').read_text())
    del content['annotations']
    image_info = folder / 'image_info_test-dev2017.json'
    image_info.write_text(json.dumps(content))
    config = write_config(folder / 'tiny_focal.py', tiny_shapes)
    result = run_here(
        'test.py',
        config,
        trained / CHECKPOINT,
        *('--submission', folder / 'out' / 'test-dev.zip'),
        *('--cfg-options', f'test_dataloader.dataset.ann_file={image_info}'),
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return image_info, folder / 'out' / 'test-dev.zip'


def test_submission_holds_one_file_named_as_the_server_asks(submission):
    _, path = submission
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ['detections_test-dev2017_tiny-focal_results.json']
        assert archive.testzip() is None
    assert [file.name for file in path.parent.iterdir()] == ['test-dev.zip']


def test_submission_is_read_by_pycocotools(submission, tiny_shapes, tmp_path):
    image_info, path = submission
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
        result_file = tmp_path / archive.namelist()[0]
    detections = json.loads(result_file.read_text())
    info = json.loads(image_info.read_text())
    assert {found['image_id'] for found in detections} == {image['id'] for image in info['images']}
    known = {category['id'] for category in info['categories']}
    for found in detections:
        assert found.keys() == {'image_id', 'category_id', 'bbox', 'score'}
        assert found['category_id'] in known
        assert found['bbox'] == [round(value, 2) for value in found['bbox']]
        assert min(found['bbox'][2:]) >= 0
        assert 0 <= found['score'] <= 1
    results = COCO(str(tiny_shapes / 'val.json')).loadRes(str(result_file))
    assert len(results.getAnnIds()) == len(detections) > 0


def test_submission_that_leaves_images_out_is_refused(tiny_config, trained, tmp_path):
    result = run_here(
        'test.py',
        tiny_config,
        trained / CHECKPOINT,
        *('--submission', 'part.zip', '--cfg-options', 'test_dataloader.dataset.indices=2'),
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert '4 of its 6 images are left out' in result.stderr.splitlines()[-1]
    assert not (tmp_path / 'part.zip').exists()


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['--out', 'found.json'], '--out must name a .pkl or .pickle file'),
        (['--out', '/proc/found.pkl'], '/proc takes no files'),
        (['--submission', 'found.json'], '--submission must name a .zip file'),
        (['--submission', '/proc/found.zip'], '/proc takes no files'),
        (
            ['--show-dir', 'drawn', '--cfg-options', "default_hooks={'_delete_': True}"],
            '--show and --show-dir need the hook',
        ),
        (
            ['--cfg-options', 'test_evaluator.ann_file=gone/val.json'],
            'gone/val.json is missing: the annotation file of the test evaluator',
        ),
    ],
)
def test_wrong_option(tiny_config, trained, tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    line = one_line_error(capsys, 'test', tiny_config, trained / CHECKPOINT, *options)
    assert expected in line


def test_missing_checkpoint(tiny_config, capsys):
    line = one_line_error(capsys, 'test', tiny_config, 'gone.pth')
    assert line == 'test.py: error: checkpoint: there is no file gone.pth'


def test_checkpoint_of_another_model(tiny_shapes, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    deeper = write_config(tmp_path / 'deeper.py', tiny_shapes, {**FOCAL_HEAD, 'stacked_convs': 2})
    line = one_line_error(capsys, 'test', deeper, trained / CHECKPOINT, '--submission', 'out.zip')
    assert "does not fit the config's model: 4 weights are missing (bbox_head.cls_convs.1." in line
    assert not (tmp_path / 'out.zip').exists()


def test_checkpoint_of_other_classes(tiny_shapes, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    more = write_config(tmp_path / 'more.py', tiny_shapes, {**FOCAL_HEAD, 'num_classes': 7})
    line = one_line_error(capsys, 'test', more, trained / CHECKPOINT)
    assert 'weights have another shape (bbox_head.retina_cls.weight, bbox_head.retina_cls.b' in line


def test_checkpoint_of_version_2_names_the_converter(
    tiny_config, trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    state = load_safely(trained / CHECKPOINT)['state_dict']
    renamed = {key.replace('retina_cls', 'fovea_cls'): value for key, value in state.items()}
    torch.save({'state_dict': renamed, 'meta': {'mmdet_version': '2.4.0'}}, 'old.pth')
    line = one_line_error(capsys, 'test', tiny_config, 'old.pth')
    assert '2 weights are missing (bbox_head.retina_cls.weight' in line
    assert 'goes through tools/convert_published.py first' in line


def test_checkpoint_without_weights(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save([torch.zeros(2)], 'list.pth')
    line = one_line_error(capsys, 'test', tiny_config, 'list.pth')
    assert line.endswith('list.pth is no checkpoint: it holds no weights')
