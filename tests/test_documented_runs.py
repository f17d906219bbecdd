"""Commands and code of the pages that no other test runs, as they stand, on tiny images and nets.

README, docs/custom_data.md, deployment.md, reliability.md, search.md and segmentation.md.
"""

import json
import os
import socket
import subprocess
from importlib.util import find_spec

import pytest
import torch
from command_checks import configs_in, load_config, load_tool, tool_of
from in_processes import output_file, start_program, wait_for
from mmengine.config import Config
from mmengine.registry import HOOKS, METRICS, MODELS, init_default_scope
from page_commands import ROOT, commands_of, python_blocks
from runs_of_mmengine import forget_runs

from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.segmentation.losses.surrogate_files import write_parameters
from mmdet_alrp.segmentation.search import SearchSpace

CELLS = ('RBC', 'WBC', 'Platelets')
FEW_IMAGES = ('--train', '4', '--val', '4', '--size', '64x64', '--workers', '1')
FEW = ShapesOptions(train=8, val=4, width=64, height=64, scenes='hard')
SPLITS = ('train', 'val', 'test')
ALONE = {
    f'{split}_dataloader.{key}': value
    for split in SPLITS
    for key, value in (('num_workers', 0), ('persistent_workers', False))
}
SMALL_NET = {'model.backbone.base_channels': 8, 'model.neck.in_channels': '[8,16,32,64]'}
SMALL = {
    **ALONE,
    **SMALL_NET,
    **{f'{split}_dataloader.dataset.pipeline.1.scale': '(64,64)' for split in ('val', 'test')},
}
SHORT = {
    **SMALL,
    'train_dataloader.dataset.pipeline.2.scale': '(64,64)',
    'train_dataloader.batch_size': 4,
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'default_hooks.logger.interval': 1,
}


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def run(command, *more, **settings):
    """A command of a page in this process, with further options and entries of `--cfg-options`."""
    path, options = tool_of(command)
    if settings and '--cfg-options' not in options:
        options = [*options, '--cfg-options']
    forget_runs()
    torch.manual_seed(0)
    words = [*options, *(f'{key}={value}' for key, value in settings.items()), *more]
    assert not load_tool(path).main(words), command


def commands_with(page, *parts):
    found = [c for c in commands_of(page) if all(part in str(c) for part in parts)]
    assert found, parts
    return found


def steps_in(work_dir):
    logs = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for log in logs for line in log.read_text('utf-8').splitlines()]
    return [line for line in lines if 'loss' in line], lines[-1]


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A folder that looks like a checkout, with a few drawn images where the configs look."""
    folder = tmp_path_factory.mktemp('a checkout')
    for name in ('configs', 'tools'):
        (folder / name).symlink_to(ROOT / name)
    write_shapes(folder / 'data' / 'shapes', FEW)
    return folder


@pytest.fixture
def here(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    return checkout


@pytest.fixture
def cells(here):
    """Drawn images that say that they are blood cells."""
    folder = here / 'data' / 'bccd'
    shapes = ShapesOptions(8, 4, 64, 64, classes=ShapesOptions().classes[:3])
    write_shapes(folder, shapes)
    for path in (folder / 'train.json', folder / 'val.json'):
        content = json.loads(path.read_text('utf-8'))
        for category, name in zip(content['categories'], CELLS, strict=True):
            category['name'] = name
        path.write_text(json.dumps(content), 'utf-8')
    return here


def test_commands_for_blood_cells_train(cells):
    commands = commands_with('docs/custom_data.md', '_r18_bccd.py', '--amp')
    assert len(commands) == 4
    for number, command in enumerate(commands):
        run(command, '--work-dir', f'cells_{number}', **SHORT)
        steps, judged = steps_in(cells / f'cells_{number}')
        assert len(steps) == 2 and 0 < judged['coco/bbox_oLRP'] <= 1
        (dumped,) = (cells / f'cells_{number}').glob('*_bccd.py')
        loss = Config.fromfile(dumped).model.bbox_head.loss_cls
        assert loss.type == 'APLoss' if 'APLoss' in str(command) else loss.type != 'APLoss'


def save_untrained(path, name):
    """A checkpoint of a config's model as it is before training."""
    forget_runs()
    cfg = load_config(name)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, path)


def test_saliency_is_tested_and_drawn_as_on_the_page(here, capsys):
    page = 'docs/segmentation.md'
    for command in {str(c): c for c in commands_with(page, 'tools/make_shapes.py')}.values():
        run(command, *FEW_IMAGES)
    tests = commands_with(page, 'tools/test.py', '_saliency.py')
    (plots,) = commands_with(page, 'sod_curves')
    (masks,) = commands_with(page, 'tools/analysis/draw_masks.py')
    for command in (*tests, masks):
        for config in configs_in(command.words):
            stem = config.rpartition('/')[2].removesuffix('.py')
            save_untrained(here / 'work_dirs' / stem / 'epoch_6.pth', config)
    for command in tests:
        run(command, **ALONE)
    exec(compile(plots.words[2], page, 'exec'), {})
    names = {path.name for path in (here / 'curves').glob('*.png')}
    assert len(names) == 2
    assert all((here / 'curves' / name / 'curves.json').is_file() for name in ('bce', 'structure'))
    run(masks)
    assert (here / 'masks.png').read_bytes().startswith(b'\x89PNG')


def test_searched_loss_trains_from_its_file(here):
    command, *_ = commands_with('docs/search.md', 'loss_decode.theta=')
    draw, *_ = commands_with('docs/search.md', 'tools/make_shapes.py')
    run(draw, *FEW_IMAGES)
    space = SearchSpace('mIoU')
    sample = torch.linspace(0.2, 0.8, space.size)
    (here / 'work_dirs' / 'miou_shapes').mkdir(parents=True, exist_ok=True)
    write_parameters(here / 'work_dirs/miou_shapes/miou.json', space.decode(sample), {})
    few = {'train_dataloader.batch_size': 2, 'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1}
    run(command, **ALONE, **few, **{'default_hooks.logger.interval': 1})
    steps, judged = steps_in(here / 'work_dirs' / 'asl_miou_fcn_r18_shapes')
    assert len(steps) == 2 and steps[0]['loss'] > 0 and 0 <= judged['mIoU'] <= 1


def test_starter_tests_in_two_processes(here):
    """The starter of the page with two processes: the figures are those of one process."""
    name = 'configs/alrp_retinanet_r18_shapes.py'
    cfg = load_config(name)
    cfg.merge_from_dict({key: value for key, value in SMALL_NET.items() if '[' not in str(value)})
    cfg.model.neck.in_channels = [8, 16, 32, 64]
    init_default_scope('mmdet')
    torch.manual_seed(0)
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, here / 'untrained.pth')
    (command,) = commands_with('docs/model_zoo.md', 'tools/dist_test.sh')
    starter, _ = tool_of(command)
    settings = [f'{key}={value}' for key, value in {**SMALL, 'model.test_cfg.score_thr': 0}.items()]
    # `dist_train.sh` is run with torchrun elsewhere; here what it would start is started.
    (here / 'python').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (here / 'python').chmod(0o755)
    port = str(free_port())
    options = ['--work-dir', 'two', '--cfg-options', *settings]
    environment = {**os.environ, 'PYTHON': str(here / 'python'), 'PORT': port}
    done = subprocess.run(
        [starter, name, 'untrained.pth', '2', *options],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    started = done.stdout.splitlines()
    assert started[:7] == [
        *('-m', 'torch.distributed.run', '--nnodes=1', '--node_rank=0'),
        *('--master_addr=127.0.0.1', f'--master_port={port}', '--nproc_per_node=2'),
    ]
    processes = [
        start_program(
            started[7], started[8:], here, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2',
            MASTER_ADDR='127.0.0.1', MASTER_PORT=port,
        )
        for rank in range(2)
    ]  # fmt: skip
    for process in processes:
        wait_for(process, 120)
        assert process.exitcode == 0, output_file(here, 'stderr', process.pid).read_text('utf-8')
    (log,) = here.glob('two/*/*.json')
    load_tool(ROOT / 'tools' / 'test.py').main(
        [name, 'untrained.pth', '--work-dir', 'one', '--cfg-options', *settings]
    )
    (alone,) = here.glob('one/*/*.json')
    found, expected = (json.loads(path.read_text('utf-8')) for path in (log, alone))
    for key in ('coco/bbox_mAP', 'coco/bbox_oLRP'):
        assert found[key] == pytest.approx(expected[key], abs=1e-6)


@pytest.fixture(scope='module')
def detector(checkout):
    """Names that the code of docs/deployment.md has: a small config and a checkpoint of it."""
    cfg = load_config('configs/alrp_retinanet_r18_shapes.py')
    cfg.model.backbone.base_channels = 8
    cfg.model.neck.in_channels = [8, 16, 32, 64]
    cfg.model.test_cfg.score_thr = 0.0
    cfg.dump(checkout / 'small.py')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    weights = MODELS.build(cfg.model).state_dict()
    classes = ShapesOptions().classes
    meta = {'dataset_meta': {'classes': classes}}
    torch.save({'state_dict': weights, 'meta': meta}, checkout / 'small.pth')
    image = next((checkout / 'data' / 'shapes' / 'val').iterdir())
    (checkout / 'image.jpg').write_bytes(image.read_bytes())
    halves = dict.fromkeys(classes, 1.0) | {classes[0]: 0.0}
    (checkout / 'thresholds.json').write_text(json.dumps({'thresholds': halves}))
    return {'config': 'small.py', 'checkpoint': 'small.pth'}


def test_thresholds_as_on_the_page(here, detector):
    by_hook, by_function, _, balance = python_blocks('docs/deployment.md')
    names = dict(detector)
    exec(compile(by_hook, 'deployment.md', 'exec'), names)
    exec(compile(balance, 'deployment.md', 'exec'), names_of_balance := {})
    init_default_scope('mmdet')
    hooks = {**names['default_hooks'], **names_of_balance['default_hooks']}
    assert len(hooks) == 3
    for options in hooks.values():
        assert type(HOOKS.build(dict(options))).__name__ == options['type']
    exec(compile(by_function, 'deployment.md', 'exec'), names)
    labels = names['result'].pred_instances.labels
    assert len(labels) and (labels == 0).all()
    after = names['inference_detector'](names['model'], 'image.jpg').pred_instances
    assert len(after) > len(labels)


@pytest.mark.filterwarnings('ignore')  # torch calls its older exporters old
def test_export_of_the_page_runs(here, detector):
    code = python_blocks('docs/deployment.md')[2]
    if find_spec('onnx') is None:
        code = code.partition('torch.onnx.export(')[0]
    names = dict(detector)
    exec(compile(code, 'deployment.md', 'exec'), names)
    script = torch.jit.load('model.pt')
    batch = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(script(batch), names['network'](batch))
    assert names['names'][-1] == 'deltas_3'  # as many levels as the neck of the small config has
    assert find_spec('onnx') is None or (here / 'model.onnx').stat().st_size > 10000


@pytest.mark.filterwarnings('ignore')  # torch calls its older exporters old
def test_calibration_as_on_the_page(here, detector):
    by_config, by_function, export = python_blocks('docs/calibration.md')
    line = {'scores': [0.0, 1.0], 'ious': [0.25, 0.45]}
    content = {'format': 'mmdet_alrp calibration', 'version': 1, 'method': 'linear'}
    content |= {'iou_type': 'bbox', 'errors': {}, 'all_classes': line}
    kinds = ('classes', 'thresholds', 'raw_thresholds', 'detections')
    (here / 'scores.json').write_text(json.dumps({**content, **{kind: {} for kind in kinds}}))
    names = dict(detector)
    exec(compile(by_config, 'calibration.md', 'exec'), names)
    init_default_scope('mmdet')
    assert METRICS.build(dict(names['val_evaluator'])).calibration
    assert HOOKS.build(dict(names['default_hooks']['score_calibration']))
    if find_spec('onnx') is None:
        export = export.partition('torch.onnx.export(')[0]
    for code in (by_function, export):
        exec(compile(code, 'calibration.md', 'exec'), names)
    scores = names['result'].pred_instances.scores
    assert len(scores) and scores.min() >= 0.25 and scores.max() <= 0.45
    batch = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        outputs = torch.jit.load('calibrated.pt')(batch)
        torch.testing.assert_close(outputs, names['network'](batch))
    assert 0.25 <= outputs[0].min() <= outputs[0].max() <= 0.45
    names['calibrating'].remove()
    raw = names['inference_detector'](names['model'], 'image.jpg').pred_instances.scores
    assert raw.max() > 0.45
