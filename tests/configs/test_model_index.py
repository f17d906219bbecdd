"""The list of models agrees with the configs."""

import pytest
import yaml
from config_files import COCO, CONFIGS, ROOT, STOCK, load

FOR_COCO = sorted([*COCO, *STOCK])
INDEX = yaml.safe_load((CONFIGS / 'metafile.yml').read_text())
MODELS = {model['Name']: model for model in INDEX['Models']}


def test_every_coco_config_is_listed_once():
    assert sorted(model['Name'] for model in INDEX['Models']) == FOR_COCO


@pytest.mark.parametrize('name', FOR_COCO)
def test_model_agrees_with_its_config(name):
    cfg, model = load(name), MODELS[name]
    assert ROOT / model['Config'] == CONFIGS / f'{name}.py'
    assert model['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    assert model['Metadata']['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    assert 'Weights' not in model
    loss = name.split('_')[0]
    assert (
        model['In Collection']
        == {
            'alrp': 'aLRP Loss',
            'ap': 'AP Loss',
            'ndcg': 'NDCG Loss',
            'rs': 'Rank & Sort Loss',
            'focal': 'Focal Loss',
            'ce': 'Cross Entropy',
        }[loss]
    )
