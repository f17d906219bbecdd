"""What docs/segmentation.md shows runs, and names what there is."""

import inspect
import re
from pathlib import Path

import mmseg  # noqa: F401 - the configs on the page are based on its own
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

import mmdet_alrp  # noqa: F401 - registers what the page names
from mmdet_alrp.segmentation import losses

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs' / 'segmentation'
TEXT = (ROOT / 'docs' / 'segmentation.md').read_text('utf-8')
BLOCKS = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
FILES = {block.split('\n')[0][2:]: block for block in BLOCKS if block.startswith('# my_')}
MASK_HEAD = FILES.pop('my_mask_rcnn.py')
LOSSES = ('FMeasureLoss', 'StructureLoss', 'LovaszHingeLoss', 'LovaszSoftmaxLoss', 'AutoSegLoss')


def test_code_runs_in_its_order():
    programs = [block for block in BLOCKS if block not in (MASK_HEAD, *FILES.values())]
    assert len(programs) == 4
    names = {}
    for block in programs:
        exec(compile(block, 'segmentation.md', 'exec'), names)
    assert torch.isfinite(names['logits'].grad).all() and names['logits'].grad.abs().sum() > 0
    assert (names['logits'].grad[:, :, 0] == 0).all()  # an ignored row
    assert 0 < names['f_measure'] < 1 < names['structure']
    assert names['deep'] > names['structure'] and 0 < names['multilabel'] < 1
    assert {'mIoU', 'FWIoU', 'mAcc', 'gAcc'} <= names['figures'].keys()


@pytest.mark.parametrize('file', FILES)
def test_configs_on_the_page_load_and_name_losses(file, tmp_path):
    path = tmp_path / file
    path.write_text(FILES[file], 'utf-8')
    model = Config.fromfile(path).model
    init_default_scope('mmseg')
    loss = MODELS.build(model.decode_head.loss_decode)
    assert type(loss).__name__ == 'AutoSegLoss'
    assert model.auxiliary_head.loss_decode.loss_weight == 0.4
    assert model.type == 'EncoderDecoder'


def test_the_mask_head_of_the_page_trains(tmp_path):
    path = tmp_path / 'my_mask_rcnn.py'
    path.write_text(MASK_HEAD, 'utf-8')
    head_of_page = Config.fromfile(path).model.roi_head.mask_head
    init_default_scope('mmdet')
    head = MODELS.build(head_of_page)
    labels = torch.tensor([3, 70])
    loss = head.loss_mask(head(torch.randn(2, 256, 14, 14)), torch.ones(2, 28, 28), labels)
    loss.backward()
    assert type(head.loss_mask) is losses.StructureLoss
    reached = head.conv_logits.weight.grad.flatten(1).abs().sum(1).nonzero().flatten()
    assert torch.equal(reached, labels)


def test_every_option_of_a_loss_is_explained():
    for name in LOSSES:
        part = TEXT.partition(f'**`{name}`**')[2].partition('\n\n')[0]
        options = inspect.signature(getattr(losses, name).__init__).parameters
        shared = {'self', 'kwargs', 'loss_weight', 'loss_name', 'ignore_index', 'output_weight'}
        explained = set(re.findall(r'`(\w+)`', part.partition('Options: ')[2]))
        assert options.keys() - shared <= explained, name
        described = part.partition('\nOptions: ')[0]
        assert described.count('. ') + 1 >= 2, name


def test_every_config_stands_in_the_table_of_names():
    table = TEXT.partition('| data | nets | losses |')[2].partition('\n\n')[0]
    found = set()
    for row in table.split('\n')[2:]:
        data, nets, kinds = (re.findall(r'`(\w+)`', cell) for cell in row.split('|')[1:4])
        found |= {f'{loss}_{net}_{d}' for d in data for net in nets for loss in kinds}
    assert found == {path.stem for path in CONFIGS.glob('*.py')}


def test_links_lead_to_files():
    links = re.findall(r'\]\((?!http)([^)#]+)', TEXT)
    assert len(links) >= 22
    for link in links:
        assert (ROOT / 'docs' / link).is_file(), link


def test_published_figures_say_so():
    assert 'published, not measured here' in TEXT
    measured, heading, published = TEXT.partition('## Published results')
    assert heading
    for text, mark in ((measured, False), (published, True)):
        lines = [line for line in text.split('\n') if line.startswith('|')]
        headers = [line for line in lines if 'mIoU | FWIoU' in line]
        assert len(headers) == 2 and all(('published' in line) == mark for line in headers)
