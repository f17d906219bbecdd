"""Every command and every piece of code on the pages is known, fits, and has tests that run it.

A new command fails here until `documented_rules.py` says which tests run it, or what it would need.
"""

import os
import re
import shutil
import subprocess
from contextlib import suppress
from importlib.util import find_spec

import pytest
from command_checks import (
    CHECKPOINT,
    check_checkpoint,
    check_requirement,
    check_settings,
    check_test,
    configs_in,
    data_roots,
    load_config,
    parsed,
    tool_of,
)
from documented_rules import CODE, COMMANDS
from page_commands import (
    LAYOUTS,
    PAGES,
    ROOT,
    blocks_in,
    blocks_of,
    commands_in,
    commands_of,
    is_layout,
    python_blocks,
    spans_in,
)


def readable(page):
    """Commands of a page; of one that bash does not understand none, which a test then says."""
    with suppress(AssertionError):
        return commands_of(page)
    return []


ALL = [command for page in PAGES for command in readable(page)]
DISTINCT = list({command.words: command for command in ALL}.values())
OF_TOOLS = [command for command in DISTINCT if tool_of(command)]
INSTALLING = [c for c in DISTINCT if c.words[:2] in {('pip', 'install'), ('mim', 'install')}]
ALRP = 'configs/alrp_retinanet_r50_500.py'


def rule_of(command):
    """Number of the rule for a command, or None."""
    text = re.sub(r'^(python|bash) ', '', str(command))
    for number, (pattern, _, _) in enumerate(COMMANDS):
        if re.fullmatch(pattern, text):
            return number
    return None


def reads_options(path):
    return path.suffix == '.sh' or 'Parser(' in path.read_text('utf-8')


@pytest.mark.parametrize('page', PAGES)
def test_every_command_of_a_page_has_a_rule(page):
    unknown = [f'{c.place}: {c}' for c in commands_of(page) if rule_of(c) is None]
    assert not unknown, f'say in documented_rules.py which tests run these: {unknown}'


def test_every_rule_is_for_a_command_and_names_tests_or_a_need():
    used = {rule_of(command) for command in DISTINCT}
    for number, (pattern, tests, need) in enumerate(COMMANDS):
        assert number in used, f'no page has a command as {pattern}'
        assert tests or need, pattern
        for test in tests:
            check_test(test)


@pytest.mark.parametrize('page', PAGES)
def test_every_python_block_is_run(page):
    count, tests = CODE.get(page, (0, []))
    assert len(python_blocks(page)) == count, 'say in documented_rules.py what runs the new one'
    for test in tests:
        check_test(test)
        text = (ROOT / test.partition('::')[0]).read_text('utf-8')
        if 'documented_heads' in text:  # a module that the tests of several heads share
            text += (ROOT / 'tests' / 'documented_heads.py').read_text('utf-8')
        assert page.removeprefix('docs/').removesuffix('.md') in text, test


def test_every_block_is_code_commands_or_a_known_layout():
    for page in PAGES:
        languages = {block.language for block in blocks_of(page)}
        assert languages <= {'', 'sh', 'python'}, f'{page} has blocks that nothing checks'
        layouts = [block for block in blocks_of(page) if is_layout(block)]
        assert len(layouts) == len(LAYOUTS.get(page, ())), page


@pytest.mark.parametrize('command', OF_TOOLS, ids=str)
def test_tool_takes_the_command(command):
    path, options = tool_of(command)
    assert path.is_file(), f'there is no {path}'
    for config in configs_in(options):
        load_config(config)
    for name, epoch in CHECKPOINT.findall(str(command)):
        check_checkpoint(name, int(epoch))
    if '--help' in options or not reads_options(path):
        assert options in ([], ['--help'])
        return
    args = parsed(path, options)
    settings = getattr(args, 'cfg_options', None)
    if settings:
        cfg = check_settings(args.config, settings)
        if path.name == 'search_loss.py':
            from mmdet_alrp.segmentation.search.settings import search_settings

            assert search_settings(cfg)
    if path.name == 'make_shapes.py':
        assert options[0] in data_roots(), f'no config reads {options[0]}'


def test_options_of_the_model_zoo_exist():
    (block,) = (block for block in blocks_of('docs/model_zoo.md') if is_layout(block))
    options = [line.split('#')[0].strip() for line in block.code.splitlines()]
    assert len(options) >= 5
    train = ROOT / 'tools' / 'train.py'
    for option in options:
        args = parsed(train, [ALRP, '--cfg-options', option])
        check_settings(ALRP, args.cfg_options)


def test_help_is_given(capsys):
    (command,) = (c for c in OF_TOOLS if '--help' in c.words)
    with pytest.raises(SystemExit) as leaving:
        parsed(*tool_of(command))
    assert leaving.value.code == 0 and '--kind' in capsys.readouterr().out


@pytest.mark.parametrize('command', [c for c in DISTINCT if c.words[0] == 'make'], ids=str)
def test_make_starts_what_the_pages_say(command):
    if shutil.which('make') is None:
        pytest.skip('there is no make')
    shared = '-m pytest --numprocesses 2 --dist loadfile'
    targets = {'test': [shared], 'setup': [''], 'demo': ['tools/demo.py']}
    targets['lint'] = ['-m ruff check .', '-m ruff format --check .']
    _, target, *variables = command.words
    environment = {**os.environ, 'MAKEFLAGS': ''}
    shown = subprocess.run(
        ['make', '--dry-run', target, *variables],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    started = re.findall(
        r'--python "\$PYTHON" --operators "\$OPERATORS" -- ?(.*?); (?:\\\n\s*)?fi;', shown
    )
    assert started == targets[target]
    known = re.findall(r'^(\w+) \?=', (ROOT / 'Makefile').read_text('utf-8'), re.MULTILINE)
    assert {variable.split('=')[0] for variable in variables} <= set(known)


def test_continuous_integration_runs_the_commands_that_set_up():
    lines = (ROOT / '.ci' / 'run').read_text('utf-8').splitlines()
    assert {'make setup', 'make lint', 'make test'} <= set(lines)


@pytest.mark.parametrize(
    'command',
    [c for c in DISTINCT if c.words[:2] in {('pip', 'install'), ('mim', 'install')}],
    ids=str,
)
def test_packages_to_install_are_those_that_are_tested(command):
    for word in command.words[2:]:
        if word == '.' or word.startswith('-'):
            continue
        check_requirement(word)


def test_programs_of_the_contributors_are_there():
    for command in DISTINCT:
        for word in command.words:
            if word.startswith('tests/'):
                assert (ROOT / word).is_dir(), command
    required = (ROOT / 'requirements' / 'tests.txt').read_text('utf-8')
    assert {'pytest', 'ruff'} <= set(re.findall(r'^[\w-]+', required, re.MULTILINE))
    assert find_spec('mmdet_alrp.__main__')


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh'])
def test_starters_start_what_the_tool_takes(name, tmp_path):
    """The scripts as documented, with an interpreter that only says what it is to run."""
    (tmp_path / 'python').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / 'python').chmod(0o755)
    environment = {**os.environ, 'PYTHON': str(tmp_path / 'python')}
    seen = 0
    for command in OF_TOOLS:
        path, options = tool_of(command)
        if path.name != name:
            continue
        answer = subprocess.run(
            [path, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        words = answer.stdout.splitlines()
        assert words[:2] == ['-m', 'torch.distributed.run'] and '--nproc_per_node=4' in words
        (start,) = (i for i, word in enumerate(words) if word.endswith('.py') and '/tools/' in word)
        args = parsed(ROOT / 'tools' / name[5:].replace('.sh', '.py'), words[start + 1 :])
        assert args.launcher == 'pytorch' and args.config == options[0]
        seen += 1
    assert seen


def words_of(code):
    return [str(command) for command in commands_in(code)]


def test_shell_code_is_read_as_a_shell_reads_it():
    code = 'for i in 1 2; do  # a loop\n    A=$i tool ${i}_{x,y} "{\'a\': 1}" \\\n  b  # c\ndone\n'
    assert words_of(code) == ["tool 1_x 1_y {'a': 1} b", "tool 2_x 2_y {'a': 1} b"]
    assert [c.environment for c in commands_in(code)] == [('A=1',), ('A=2',)]
    assert words_of('a && b; cd c\nd "x\ny"\n') == ['a', 'b', 'cd c', 'd x\ny']
    assert sorted(words_of('t F... [--k x|y] [--z]')) == ['t F --k x --z', 't F --k y --z']
    with pytest.raises(AssertionError, match='not what bash understands'):
        words_of('for i in 1 2; do tool')


def test_commands_are_found_in_blocks_and_in_sentences():
    text = 'Run `tools/new.py A` or `X=1 pip install b`, not `tools/new.py`.\n```\nwget c\n```\n'
    assert spans_in(text) == ['tools/new.py A', 'X=1 pip install b']
    (block,) = blocks_in(text)
    assert not is_layout(block) and words_of(block.code) == ['wget c']
    assert rule_of(commands_in(block.code)[0]) is None
