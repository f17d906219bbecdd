import json

import pytest
from mmengine.config import ConfigDict
from tiny_runs import one_line_error, write_config

from mmdet_alrp.cli import annotation_checks
from mmdet_alrp.cli.annotation_checks import check_annotations
from mmdet_alrp.command_line import UsageError


def changed(tiny_shapes, folder, change):
    """The drawn training set with something changed in its annotation file."""
    content = json.loads((tiny_shapes / 'train.json').read_text())
    change(content)
    path = folder / 'train.json'
    path.write_text(json.dumps(content))
    return path


def with_box(tiny_shapes, folder, box):
    return changed(tiny_shapes, folder, lambda content: content['annotations'][0].update(bbox=box))


def dataset(**options):
    return ConfigDict({'type': 'ShapesDataset', **options})


def drop_category(content):
    removed = content['categories'].pop()
    kept = [entry for entry in content['annotations'] if entry['category_id'] != removed['id']]
    content['annotations'] = kept


FAULTS = {
    'unknown category': (
        lambda content: content['annotations'][2].update(category_id=77),
        "has category_id 77, which is none of the file's categories: ",
    ),
    'no box': (
        lambda content: content['annotations'][2].pop('bbox'),
        'has bbox None: must be four finite numbers x, y, w, h',
    ),
    'three numbers': (
        lambda content: content['annotations'][2].update(bbox=[1, 2, 3]),
        'has bbox [1, 2, 3]: must be four finite numbers',
    ),
    'NaN': (
        lambda content: content['annotations'][2].update(bbox=[1, 2, 3, float('nan')]),
        'has bbox [1, 2, 3, nan]: must be four finite numbers',
    ),
    'class without category': (drop_category, 'has no category for the classes '),
    'no images': (lambda content: content.pop('images'), "it has no list 'images'"),
    'category without name': (
        lambda content: content['categories'][1].pop('name'),
        "entry 2 of 'categories' has no 'name'",
    ),
    'image without id': (
        lambda content: content['images'][0].pop('id'),
        "entry 1 of 'images' has no 'id'",
    ),
    'annotation that is a list': (
        lambda content: content['annotations'].__setitem__(2, [1]),
        "entry 3 of 'annotations' is no JSON object",
    ),
}


@pytest.mark.parametrize(('change', 'message'), FAULTS.values(), ids=FAULTS)
def test_fault_is_one_line_before_the_run(tiny_shapes, tmp_path, capsys, change, message):
    path = changed(tiny_shapes, tmp_path, change)
    config = write_config(tmp_path / 'tiny.py', tiny_shapes)
    option = f'train_dataloader.dataset.ann_file={path}'
    line = one_line_error(capsys, 'train', config, '--cfg-options', option)
    assert str(path) in line and message in line


def test_annotation_and_image_are_named(tiny_shapes, tmp_path):
    def change(content):
        content['annotations'][2].update(id=4711, image_id=9, category_id=0)

    path = changed(tiny_shapes, tmp_path, change)
    with pytest.raises(UsageError, match=r'annotation 4711 \(image 9\) has category_id 0'):
        check_annotations(dataset(), str(path))


def test_file_that_is_no_json(tmp_path):
    path = tmp_path / 'train.json'
    path.write_text('{"images": [')
    with pytest.raises(UsageError, match='is no readable JSON'):
        check_annotations(dataset(), str(path))


@pytest.fixture
def notes(monkeypatch):
    written = []
    monkeypatch.setattr(annotation_checks, 'print_log', lambda text, **_: written.append(text))
    return written


@pytest.mark.parametrize(
    'box', [[10, 10, 0, 20], [10, 10, 20, 0.4], [70, 10, 20, 20], [10, -30, 20, 25]], ids=str
)
def test_box_that_coco_dataset_leaves_out_is_reported(tiny_shapes, tmp_path, notes, box):
    path = changed(
        tiny_shapes, tmp_path, lambda content: content['annotations'][0].update(bbox=box)
    )
    check_annotations(dataset(), str(path))
    (note,) = notes
    assert 'box without area or outside its image; 1 of ' in note


def test_healthy_file_and_box_partly_outside_say_nothing(tiny_shapes, tmp_path, notes):
    check_annotations(dataset(), str(tiny_shapes / 'train.json'))
    box = [-10, 50, 30, 40]
    path = changed(
        tiny_shapes, tmp_path, lambda content: content['annotations'][0].update(bbox=box)
    )
    check_annotations(dataset(), str(path))
    assert not notes


def test_classes_of_the_config_count(tiny_shapes):
    path = str(tiny_shapes / 'train.json')
    name = json.loads((tiny_shapes / 'train.json').read_text())['categories'][0]['name']
    check_annotations(dataset(metainfo={'classes': (name,)}), path)
    with pytest.raises(
        UsageError, match='has no category for the classes unicorn of ShapesDataset'
    ):
        check_annotations(dataset(metainfo={'classes': (name, 'unicorn')}), path)


@pytest.mark.parametrize('kind', ['LVISV1Dataset', 'XMLDataset', 'NoSuchDataset'])
def test_other_data_sets_are_left_alone(tmp_path, kind):
    check_annotations(ConfigDict(type=kind), str(tmp_path / 'nowhere.json'))
