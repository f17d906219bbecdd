"""The ``search`` part of a config, with what the command line changes in it."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmdet_alrp.command_line import UsageError

# What --algorithm calls them
ALGORITHM_BY_OPTION = {'ppo': 'PPO', 'random': 'RandomSearch'}
_REQUIRED = ('target_metric', 'algorithm', 'rounds', 'holdout')
_OPTIONAL = {'space': {}, 'start': None, 'executor': {'type': 'local'}, 'seed': 0}


def search_settings(
    cfg: Config,
    algorithm: str | None = None,
    seed: int | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Return the settings of a search as plain values that JSON can hold.

    Args:
        cfg: Config with a ``search`` dict.
        algorithm: 'ppo' or 'random' instead of that of the config; of the settings of another
            algorithm only the number of samples is kept.
        seed: Instead of that of the config.
        workers: Trainings side by side, instead of those of the config.

    Raises:
        UsageError: If there is no ``search``, a key is unknown or missing, or a value is of the
            wrong kind.
    """
    given = cfg.get('search')
    if not isinstance(given, Mapping):
        raise UsageError(
            f'{cfg.filename} has no search=dict(...): take or inherit one of '
            'configs/segmentation/search'
        )
    settings = {**_OPTIONAL, **_without_scope(given.to_dict())}
    known = (*_REQUIRED, *_OPTIONAL)
    for name in [*_REQUIRED, *settings]:
        if name not in settings or name not in known:
            problem = 'is missing' if name in known else 'is no setting'
            raise UsageError(f'search.{name} {problem}; the settings are {", ".join(known)}')
    settings['space'] = {**settings['space']}
    settings['algorithm'] = _algorithm(settings['algorithm'], algorithm)
    if seed is not None:
        settings['seed'] = seed
    if workers is not None:
        executor = dict(settings['executor'])
        if executor.get('type') != 'local':
            raise UsageError(
                "--workers is for executor type 'local'; Ray runs as many samples as "
                'search.executor.num_cpus and num_gpus leave room for'
            )
        settings['executor'] = {**executor, 'workers': workers}
    _check_numbers(settings)
    return json.loads(json.dumps(settings))


def _check_numbers(settings: Mapping[str, Any]) -> None:
    start = settings['start']
    if start is not None and (not isinstance(start, Mapping) or set(start) != {'max_iters'}):
        raise UsageError(f'search.start must be None or dict(max_iters=...), got {start!r}')
    wholes = {'rounds': (settings['rounds'], 1), 'seed': (settings['seed'], 0)}
    if start is not None:
        wholes['start.max_iters'] = (start['max_iters'], 1)
    for name, (value, least) in wholes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(f'search.{name} must be a whole number >= {least}, got {value!r}')


def _without_scope(value: Any) -> Any:
    """Leave out what MMEngine adds to dicts inherited from another package's configs."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_scope(entry) for key, entry in value.items() if key != '_scope_'}


def _algorithm(given: Any, wanted: str | None) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not isinstance(given.get('type'), str):
        raise UsageError(f'search.algorithm must be a dict with a type, got {given!r}')
    name = ALGORITHM_BY_OPTION.get(wanted, given['type'])
    if name == given['type']:
        return dict(given)
    return {'type': name, **{key: given[key] for key in ('samples',) if key in given}}


def target_name(target_metric: str | Mapping[str, float]) -> str:
    """Name a target: ``mIoU``, or ``mIoU + 0.5 BIoU``."""
    if isinstance(target_metric, str):
        return target_metric
    terms = (
        metric if weight == 1 else f'{weight:g} {metric}'
        for metric, weight in target_metric.items()
    )
    return ' + '.join(terms)


def parameter_file(target_metric: str | Mapping[str, float]) -> str:
    """Name the file of what is found: ``miou.json``, ``miou_biou.json``."""
    metrics = [target_metric] if isinstance(target_metric, str) else list(target_metric)
    return '_'.join(metric.lower() for metric in metrics) + '.json'


def proxy_content(cfg: Config) -> dict[str, Any]:
    """Return what MMEngine makes a proxy training of: model, data, schedule; nested values."""
    read = {*inspect.signature(Runner.__init__).parameters} - {'work_dir', 'launcher'}
    return {key: value for key, value in cfg.to_dict().items() if key in read}


def proxy_digest(cfg: Config) -> str:
    """Return a fingerprint of :func:`proxy_content`."""
    text = json.dumps(proxy_content(cfg), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
