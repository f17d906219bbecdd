"""The commands of docs/get_started.md run one after the other, on fewer and smaller images."""

import json
import re
import shlex

import pytest
import torch
from tiny_runs import REPO, load_tool

PAGE = (REPO / 'docs' / 'get_started.md').read_text('utf-8')
BLOCKS = re.findall(r'```sh\n(.*?)```', PAGE, re.DOTALL)
INSTALL, *REST = BLOCKS
COMMANDS = [line for block in REST for line in block.replace('\\\n', ' ').strip().split('\n')]
LOADER = {'num_workers': 0, 'persistent_workers': False}
SMALL = {
    **{f'{split}_dataloader.{key}': LOADER[key] for split in ('val', 'test') for key in LOADER},
    **{f'{split}_dataloader.dataset.pipeline.1.scale': '(64,64)' for split in ('val', 'test')},
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': '[8,16,32,64]',
}
SHORT = {
    **{f'train_dataloader.{key}': value for key, value in LOADER.items()},
    'train_dataloader.dataset.pipeline.2.scale': '(64,64)',
    'train_dataloader.batch_size': 4,
    'train_cfg.val_interval': 6,
    'default_hooks.checkpoint.interval': 6,
}


def shortened(words):
    """A command of the page with less to do; everything it names stays."""
    tool, *options = words
    if tool == 'tools/make_shapes.py':
        few = {'--train': '4', '--val': '2'}
        values = [few.get(before, word) for before, word in zip(words, options, strict=False)]
        return tool, [*values, '--size', '64x64', '--workers', '1']
    if tool in ('tools/train.py', 'tools/test.py'):
        settings = {**SMALL, **(SHORT if tool == 'tools/train.py' else {})}
        settings = [f'{key}={value}' for key, value in settings.items()]
        if '--cfg-options' in options:
            return tool, [*options, *settings]
        return tool, [*options, '--cfg-options', *settings]
    return tool, options


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder in which every command of the page has run, as in a checkout."""
    folder = tmp_path_factory.mktemp('a checkout')
    for name in ('configs', 'tools'):
        (folder / name).symlink_to(REPO / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.manual_seed(0)
        for command in COMMANDS:
            words = shlex.split(command)
            start = words.index('python')
            assert all('=' in word for word in words[:start])
            tool, options = shortened(words[start + 1 :])
            name = tool.removeprefix('tools/').removesuffix('.py')
            assert not load_tool(name).main(options), command
    return folder


def test_every_command_runs_and_leaves_what_the_page_names(folder):
    assert len(COMMANDS) == 5
    for name in ('data/shapes/train.json', 'data/shapes/val.json', 'work_dirs/val.bbox.json'):
        assert (folder / name).is_file(), name
    assert (folder / 'work_dirs/alrp_retinanet_r18_shapes/epoch_6.pth').is_file()
    assert list((folder / 'plots').glob('*.png'))
    assert list(folder.glob('work_dirs/alrp_retinanet_r18_shapes/*/after'))
    figures = json.loads((folder / 'thresholds.json').read_text('utf-8'))
    assert len(figures['thresholds']) == 5 and 0 < figures['oLRP'] <= 1


def test_log_has_the_figures_of_the_table(folder):
    logs = folder.glob('work_dirs/alrp_retinanet_r18_shapes/*/vis_data/scalars.json')
    lines = [json.loads(line) for log in logs for line in log.read_text('utf-8').splitlines()]
    logged = {key for line in lines for key in line}
    table = re.findall(r'^\| `(\w+)` \|', PAGE, re.MULTILINE)
    assert len(table) == 4
    assert logged.issuperset(table)
    named = set(re.findall(r'`(coco/\w+)`', PAGE))
    assert len(named) == 3 and named <= logged
