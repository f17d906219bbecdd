"""What can be said of a command without running it: its parts exist and fit together."""

import argparse
import importlib.util
import inspect
import os
import re
import sys
from copy import deepcopy
from functools import cache

import mmengine.registry as registries
import pytest
import torch
from mmengine.config import Config
from page_commands import ROOT

import mmdet_alrp  # noqa: F401 - registers what the configs name
from mmdet_alrp.registration import StandIn

PLACEHOLDERS = {  # what a reader puts there
    'CONFIG': 'configs/alrp_retinanet_r50_500.py',
    'GPUS': '4',
}
SCRIPTS = {'dist_train.sh': 'train.py', 'dist_test.sh': 'test.py'}
CHECKPOINT = re.compile(r'work_dirs/(\w+)/epoch_(\d+)\.pth')
REGISTRIES = ('MODELS', 'METRICS', 'DATASETS', 'HOOKS', 'OPTIMIZERS')


class ParsedError(Exception):
    """Carries what a tool has read from its command line out of the tool."""


def tool_of(command):
    """The tool of this repository that a command runs and what it is given, or None."""
    words = [PLACEHOLDERS.get(word, word) for word in command.words]
    if words[0] in ('python', 'bash'):
        words = words[1:]
    if not words[0].startswith('tools/'):
        return None
    return ROOT / words[0], words[1:]


@cache
def load_tool(path):
    """Import a tool as Python does that is given its path."""
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f'documented_{path.stem}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def parsed(path, options):
    """What the tool's own parser makes of its options."""
    if path.suffix == '.sh':
        assert os.access(path, os.X_OK), f'{path.name} is not executable'
        name = SCRIPTS[path.name]
        count = 1 if name == 'train.py' else 2
        assert re.fullmatch(r'[1-9]\d*', options[count]), f'{options[count]} is no number'
        rest = [*options[:count], *options[count + 1 :], '--launcher', 'pytorch']
        return parsed(path.with_name(name), rest)
    read = argparse.ArgumentParser.parse_args

    def stop(parser, *args, **kwargs):
        raise ParsedError(read(parser, *args, **kwargs))

    if not torch.cuda.is_available():  # a page may speak of other machines
        options = ['cpu' if option == 'cuda' else option for option in options]
    module = load_tool(path)
    if hasattr(module, 'parse_args'):
        return module.parse_args(options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        with pytest.raises(ParsedError) as caught:
            module.main(options)
        return caught.value.args[0]


@cache
def _loaded(path):
    return Config.fromfile(ROOT / path)


def load_config(path):
    """A config of the repository, to be changed at will."""
    return deepcopy(_loaded(path))


def configs_in(options):
    """Configs among the words of a command, also within NAME=CONFIG=CHECKPOINT."""
    return [part for word in options for part in word.split('=') if part.startswith('configs/')]


def find_class(name, scope):
    for registry in REGISTRIES:
        with getattr(registries, registry).switch_scope_and_registry(scope) as here:
            found = here.get(name)
        if found is not None:
            return found.load() if isinstance(found, StandIn) else found
    raise AssertionError(f'nothing is registered as {name}')


def check_type(part, scope):
    """A part of a config names a class, and only what its constructor takes."""
    owner = find_class(part['type'], scope)
    for key in part.keys() - {'type', '_delete_', '_scope_'}:
        takes(owner, key)


def takes(owner, key):
    inits = [vars(base)['__init__'] for base in owner.__mro__[:-1] if '__init__' in vars(base)]
    known = {name for init in inits for name in inspect.signature(init).parameters}
    assert key in known, f'{owner.__name__} has no option {key}'


def check_settings(path, settings):
    """Every key of `--cfg-options` is in the config, or an option of the class that it is given."""
    cfg = load_config(path)
    before = load_config(path)
    cfg.merge_from_dict(settings)
    scope = cfg.get('default_scope', 'mmdet')
    for key, value in settings.items():
        *folders, last = (int(part) if part.isdigit() else part for part in key.split('.'))
        part, old = cfg, before
        for folder in folders:
            part = part[folder]
            new = isinstance(old, dict) and folder not in old and 'type' in part
            old = {} if new else old[folder]  # a KeyError names what is not in the config
        if last not in old and last != 'type':
            assert part.get('type'), f'{path} has no {key}'
            takes(find_class(part['type'], scope), last)
        if last == 'type':
            check_type(part, scope)
        elif isinstance(value, dict) and part is not cfg.get('search'):
            check_type(part[last], scope)
    return cfg


def check_checkpoint(name, epoch):
    """The config saves at this epoch, and does not end before."""
    (path,) = ROOT.glob(f'configs/**/{name}.py')
    cfg = load_config(str(path.relative_to(ROOT)))
    interval = cfg.default_hooks.checkpoint.interval
    epochs = cfg.train_cfg.max_epochs
    assert epoch <= epochs and (epoch % interval == 0 or epoch == epochs), f'{name}: {epoch}'


@cache
def data_roots():
    texts = [path.read_text('utf-8') for path in ROOT.glob('configs/**/*.py')]
    return {root for text in texts for root in re.findall(r"data_root ?= ?'([\w/]+?)/?'", text)}
