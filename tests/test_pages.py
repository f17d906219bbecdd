"""Commands and code of the pages: a tool takes each command, and every block of Python runs."""

import ast
import re
import shutil
import subprocess

import pytest
from command_checks import (
    CHECKPOINT,
    check_checkpoint,
    check_settings,
    configs_in,
    data_roots,
    load_config,
    parsed,
    tool_of,
)
from mmengine.config import Config
from mmengine.registry import HOOKS, METRICS, MODELS, init_default_scope
from page_commands import PAGES, ROOT, blocks_of, commands_in, commands_of, python_blocks

import mmdet_alrp  # noqa: F401 - registers what the pages name

DISTINCT = list({c.words: c for page in PAGES for c in commands_of(page)}.values())
OF_TOOLS = [command for command in DISTINCT if tool_of(command)]
TARGETS = [c for c in DISTINCT if c.words[0] == 'make']
ALRP = 'configs/alrp_retinanet_r50_500.py'
# Pages whose code needs files or projects of its own: which tests have them
ELSEWHERE = {
    'docs/calibration.md': 'test_documented_runs.py',
    'docs/deployment.md': 'test_documented_runs.py',
    'docs/own_head.md': 'documented_heads.py',
    'docs/plain_pytorch.md': 'examples/test_plain_pytorch_page.py',
    'docs/your_project.md': 'test_foreign_project.py',
}
PROGRAMS = [page for page in PAGES if python_blocks(page) and page not in ELSEWHERE]


@pytest.mark.parametrize('command', OF_TOOLS, ids=str)
def test_tool_takes_the_command(command, capsys):
    path, options = tool_of(command)
    assert path.is_file(), f'there is no {path}'
    for config in configs_in(options):
        load_config(config)
    for name, epoch in CHECKPOINT.findall(str(command)):
        check_checkpoint(name, int(epoch))
    if path.suffix != '.sh' and 'Parser(' not in path.read_text('utf-8'):
        assert not options
        return
    if '--help' in options:
        with pytest.raises(SystemExit) as leaving:
            parsed(path, options)
        assert leaving.value.code == 0 and '--' in capsys.readouterr().out
        return
    args = parsed(path, options)
    settings = getattr(args, 'cfg_options', None)
    if path.name == 'compare_losses.py':  # hands them to train.py
        train = ROOT / 'tools' / 'train.py'
        for config in args.configs if settings else ():
            args = parsed(train, [str(config), '--cfg-options', *settings])
            check_settings(args.config, args.cfg_options)
    elif settings:
        cfg = check_settings(args.config, settings)
        if path.name == 'search_loss.py':
            from mmdet_alrp.segmentation.search.settings import search_settings

            assert search_settings(cfg)
    if path.name == 'make_shapes.py':
        assert options[0] in data_roots(), f'no config reads {options[0]}'


@pytest.mark.parametrize('command', TARGETS, ids=str)
def test_make_has_the_target(command):
    if shutil.which('make') is None:
        pytest.skip('there is no make')
    known = re.findall(r'^(\w+) \?=', (ROOT / 'Makefile').read_text('utf-8'), re.MULTILINE)
    assert {word.split('=')[0] for word in command.words[2:]} <= set(known)
    subprocess.run(['make', '--dry-run', *command.words[1:]], cwd=ROOT, check=True)


def test_options_of_the_model_zoo_exist():
    lines = [line for b in blocks_of('docs/model_zoo.md') for line in b.code.splitlines()]
    options = [line.split('#')[0].strip() for line in lines if line.startswith('model.')]
    assert options
    for option in options:
        args = parsed(ROOT / 'tools' / 'train.py', [ALRP, '--cfg-options', option])
        check_settings(ALRP, args.cfg_options)


def is_config(code):
    """Whether nothing happens in a block but that keys get values."""
    return all(
        isinstance(node, ast.Assign)
        and (not isinstance(node.value, ast.Call) or getattr(node.value.func, 'id', '') == 'dict')
        for node in ast.parse(code).body
    )


def build_parts(cfg, own):
    """Build what a config of a page sets up, without weights from elsewhere."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = cfg.get('model', {})
    if 'type' in model:
        model.pop('pretrained', None)
        model.backbone.pop('init_cfg', None)
        MODELS.build(model)
    if 'val_evaluator' in own and 'type' in cfg.val_evaluator:
        METRICS.build({**cfg.val_evaluator, 'ann_file': None})
    if 'default_hooks' in own:
        for name, hook in cfg.default_hooks.items():
            if 'type' in hook and name != 'visualization':  # wants a running training
                HOOKS.build(dict(hook))


@pytest.mark.parametrize('page', PROGRAMS)
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    """Configs load and build, the rest runs in its order as one program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    files, names = [], {}
    for number, block in enumerate(python_blocks(page)):
        name = re.match(r'# ([\w/]+\.py)\n', block)
        file = tmp_path / (name[1] if name else f'block_{number}.py')
        file.write_text(block, 'utf-8')
        if is_config(block):
            files.append((file, block))
        elif not name:
            exec(compile(block, f'{page}, block {number}', 'exec'), names)
    for file, block in files:
        own = {node.targets[0].id for node in ast.parse(block).body}
        build_parts(Config.fromfile(file), own)


def test_shell_code_is_read_as_a_shell_reads_it():
    code = 'for i in 1 2; do  # a loop\n    A=$i tool ${i}_{x,y} "{\'a\': 1}" \\\n  b  # c\ndone\n'
    found = commands_in(code)
    assert list(map(str, found)) == ["tool 1_x 1_y {'a': 1} b", "tool 2_x 2_y {'a': 1} b"]
    assert [command.environment for command in found] == [('A=1',), ('A=2',)]
    assert sorted(map(str, commands_in('t F... [--k x|y] [--z]'))) == [
        't F --k x --z',
        't F --k y --z',
    ]
    with pytest.raises(AssertionError, match='not what bash understands'):
        commands_in('for i in 1 2; do tool')
