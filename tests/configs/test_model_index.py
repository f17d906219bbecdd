"""The list of models agrees with the configs, the papers and the model zoo."""

import re

import pytest
import yaml
from config_files import COCO, CONFIGS, NAMES, ROOT, STOCK, load

AP, OLRP = 'box AP (published)', 'box oLRP (published)'
RETINANET = {  # AP on minival, AP on test-dev
    'ap_retinanet_r50_500': (35.4, 35.7),
    'alrp_retinanet_r50_500': (39.0, 39.5),
    'alrp_retinanet_atss_r50_500': (41.0, 41.3),
    'alrp_retinanet_atss_r101_500': (42.2, 42.8),
    'alrp_retinanet_atss_x101_500': (44.5, 44.6),
    'alrp_retinanet_atss_r101_800': (45.4, 45.9),
    'alrp_retinanet_atss_x101_800': (47.2, 47.8),
    'alrp_retinanet_atss_x101_dcn_800': (48.6, 48.9),
}
OTHERS = {  # AP and oLRP on minival
    'focal_foveabox_r50_500': (38.3, 68.8),
    'ap_foveabox_r50_500': (36.5, 69.8),
    'alrp_foveabox_r50_500': (39.7, 67.2),
    'ce_l1_faster_rcnn_r50_500': (37.8, 69.3),
    'ce_giou_faster_rcnn_r50_500': (38.2, 69.0),
    'alrp_faster_rcnn_r50_500': (40.7, 66.7),
    'rs_paa_r50_coco': (41.0, 67.3),
    'rs_mask_rcnn_r50_coco': (40.0, 67.5),
}
FOR_COCO = sorted([*COCO, *STOCK])
ZOO = (ROOT / 'docs' / 'model_zoo.md').read_text('utf-8')
INDEX = yaml.safe_load((CONFIGS / 'metafile.yml').read_text())
MODELS = {model['Name']: model for model in INDEX['Models']}


def test_index_imports_the_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert index == {'Import': ['configs/metafile.yml']}


def test_every_coco_config_is_listed_once():
    assert sorted(model['Name'] for model in INDEX['Models']) == FOR_COCO


def test_collections_lead_to_files():
    collections = {collection['Name']: collection for collection in INDEX['Collections']}
    assert {model['In Collection'] for model in INDEX['Models']} == set(collections)
    for collection in collections.values():
        assert (ROOT / collection['README']).is_file()
        assert 'Code' not in collection or (ROOT / collection['Code']['URL']).is_file()


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


@pytest.mark.parametrize('name', FOR_COCO)
def test_results_are_the_published_ones_and_say_so(name):
    found = {result['Dataset']: result['Metrics'] for result in MODELS[name].get('Results', [])}
    if name in RETINANET:
        minival, test_dev = RETINANET[name]
        assert found == {'COCO minival': {AP: minival}, 'COCO test-dev': {AP: test_dev}}
    elif name in OTHERS:
        ap, olrp = OTHERS[name]
        assert found == {'COCO minival': {AP: ap, OLRP: olrp}}
    else:
        assert not found
    assert ('Results From' in MODELS[name]['Metadata']) == bool(found)
    if found:
        assert 'published' in MODELS[name]['Metadata']['Results From']


def linked_configs():
    """Pairs of link text and config in the tables of the model zoo."""
    rows = [line for line in ZOO.splitlines() if line.startswith('|')]
    return re.findall(r'\[([^]]+)\]\(\.\./configs/(\w+)\.py\)', '\n'.join(rows))


def test_tables_show_the_published_figures():
    figures = {name: f'{first} / {second}' for name, (first, second) in RETINANET.items()}
    figures |= {name: f'{ap} ({olrp})' for name, (ap, olrp) in OTHERS.items()}
    shown = {name: text for text, name in linked_configs() if text[0].isdigit()}
    assert shown == figures


def test_model_zoo_links_every_config():
    assert {name for _, name in linked_configs()} == set(NAMES)
