"""Which files of a run are looked for."""

import json

import pytest
from mmengine.config import Config

from mmdet_alrp.cli.input_checks import check_data
from mmdet_alrp.command_line import UsageError

LMDB = {'backend': 'lmdb', 'db_path': 'coco.lmdb'}


def config_of(folder, image_backend):
    truth = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'cell'}]}
    (folder / 'train.json').write_text(json.dumps(truth))
    dataset = {
        'type': 'CocoDataset',
        'metainfo': {'classes': ('cell',)},
        'data_root': str(folder),
        'ann_file': 'train.json',
        'data_prefix': {'img': 'images/'},
        'pipeline': [{'type': 'LoadImageFromFile', 'backend_args': image_backend}],
    }
    return Config({'train_dataloader': {'dataset': dataset}})


def test_images_in_files_need_their_folder(tmp_path):
    cfg = config_of(tmp_path, None)
    with pytest.raises(UsageError, match='images/ is missing: the folder of the train images'):
        check_data(cfg, ('train',))
    (tmp_path / 'images').mkdir()
    check_data(cfg, ('train',))


def test_images_in_a_store_need_no_folder(tmp_path):
    check_data(config_of(tmp_path, LMDB), ('train',))


def test_images_in_a_store_do_not_excuse_missing_annotations(tmp_path):
    cfg = config_of(tmp_path, LMDB)
    (tmp_path / 'train.json').unlink()
    with pytest.raises(UsageError, match=r'train\.json is missing'):
        check_data(cfg, ('train',))
