import json
import os
import zipfile
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from pycocotools.coco import COCO
from tiny_runs import EPOCHS, one_line_error

from mmdet_alrp.cli.submission import Submission
from mmdet_alrp.command_line import UsageError

CHECKPOINT = f'epoch_{EPOCHS}.pth'
# as in COCO: category ids have gaps
CATEGORIES = [{'id': 1, 'name': 'person'}, {'id': 13, 'name': 'stop sign'}]


def image_info(folder, images=3):
    """A file like image_info_test-dev2017.json: no annotations."""
    path = folder / 'image_info_test-dev2017.json'
    entries = [
        {'id': 10 * i, 'width': 64, 'height': 48, 'file_name': f'{i}.jpg'} for i in range(images)
    ]
    path.write_text(json.dumps({'images': entries, 'categories': CATEGORIES, 'info': {}}))
    return path


def made(folder, target='out/my_model.zip'):
    """A submission to `target` for a config of the name my_model_r50_500.py."""
    dataset = {'type': 'CocoDataset', 'ann_file': str(image_info(folder))}
    config = folder / 'my_model_r50_500.py'
    config.write_text(f'test_dataloader = dict(dataset={dataset})\n')
    submission = Submission(Config.fromfile(config), str(folder / target))
    loader = SimpleNamespace(dataset=FakeDataset([0, 10, 20]))
    submission.check_coverage(SimpleNamespace(test_dataloader=loader))
    return submission


class FakeDataset(list):
    def get_data_info(self, index):
        return {'img_id': self[index]}


def detection(image=10, score=0.5, box=(1.23456, 2, 30.005, 4), category=13):
    return {'image_id': image, 'category_id': category, 'bbox': list(box), 'score': score}


def written(path):
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        return name, json.loads(archive.read(name))


def test_name_precision_and_category_ids(tmp_path):
    submission = made(tmp_path)
    found = [detection(score=0.123456789), detection(image=20, category=1)]
    submission.result_file.write_text(json.dumps(found))
    line = submission.write()
    name, content = written(tmp_path / 'out' / 'my_model.zip')
    assert name == 'detections_test-dev2017_my-model-r50-500_results.json'
    assert content == [
        detection(score=0.123457, box=(1.23, 2, 30.0, 4)),
        detection(image=20, category=1, box=(1.23, 2, 30.0, 4)),
    ]
    assert '2 detections in 2 of 3 images' in line


def test_pycocotools_reads_it_against_the_file_without_annotations(tmp_path):
    submission = made(tmp_path)
    submission.result_file.write_text(json.dumps([detection(), detection(image=20)]))
    submission.write()
    _, content = written(submission.path)
    truth = COCO(submission.ann_file)
    assert len(truth.anns) == 0
    results = truth.loadRes(content)
    assert sorted(ann['image_id'] for ann in results.anns.values()) == [10, 20]
    assert {ann['category_id'] for ann in results.anns.values()} <= set(truth.getCatIds())


def test_the_best_hundred_of_an_image(tmp_path):
    submission = made(tmp_path)
    found = [detection(score=i / 1000) for i in range(150)] + [detection(image=0)]
    submission.result_file.write_text(json.dumps(found))
    submission.write()
    _, content = written(submission.path)
    scores = [entry['score'] for entry in content if entry['image_id'] == 10]
    assert scores == [i / 1000 for i in reversed(range(50, 150))]
    assert sum(entry['image_id'] == 0 for entry in content) == 1


def test_nothing_found_is_an_empty_list(tmp_path):
    submission = made(tmp_path)
    submission.result_file.write_text('[]')
    submission.write()
    assert written(submission.path)[1] == []


def test_values_that_are_not_finite_are_refused(tmp_path):
    submission = made(tmp_path)
    for broken in (detection(score=float('nan')), detection(box=(0, 0, float('inf'), 1))):
        submission.result_file.write_text(json.dumps([broken]))
        with pytest.raises(UsageError, match=r'image 10: .* not finite'):
            submission.write()
    assert not submission.path.exists()


@pytest.mark.parametrize('moment', ['writestr', 'replace'])
def test_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch, moment):
    submission = made(tmp_path, 'old.zip')
    submission.path.write_bytes(b'old')
    submission.result_file.write_text(json.dumps([detection()]))

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        *{'writestr': (zipfile.ZipFile, 'writestr'), 'replace': (os, 'replace')}[moment], interrupt
    )
    with pytest.raises(KeyboardInterrupt):
        submission.write()
    assert submission.path.read_bytes() == b'old'
    assert not list(tmp_path.glob('.old.zip*'))


def test_interrupted_testing_writes_nothing(tiny_config, trained, tmp_path, monkeypatch):
    from mmdet.models import RetinaNet
    from tiny_runs import load_tool

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(RetinaNet, 'test_step', interrupt)
    options = ['--submission', 'made/out.zip', '--work-dir', 'run']
    with pytest.raises(KeyboardInterrupt):
        load_tool('test').main([str(tiny_config), str(trained / CHECKPOINT), *options])
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize('option', ['--submission', '--out'])
def test_places_are_checked_before_the_run(tiny_config, trained, tmp_path, capsys, option):
    ending = {'--submission': '.zip', '--out': '.pkl'}[option]
    (tmp_path / f'folder{ending}').mkdir()
    (tmp_path / 'file').write_text('')
    for place, reason in (
        (tmp_path / f'folder{ending}', 'is a folder'),
        (tmp_path / 'file' / f'out{ending}', 'takes no files'),
    ):
        line = one_line_error(capsys, 'test', tiny_config, trained / CHECKPOINT, option, place)
        assert f'{option}: ' in line and reason in line


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    submission = made(tmp_path)
    submission.result_file.write_text(json.dumps([detection()]))

    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(zipfile.ZipFile, 'writestr', full)
    with pytest.raises(UsageError, match='cannot be written: No space left on device'):
        submission.write()
    assert not list(submission.path.parent.glob('*.zip*'))
