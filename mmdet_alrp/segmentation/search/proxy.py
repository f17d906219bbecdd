"""Proxy tasks: a short training with one sample of surrogate parameters, and its reward."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmdet_alrp.segmentation.evaluation.boundary import BOUNDARY_METRICS
from mmdet_alrp.segmentation.evaluation.region import REGION_METRICS
from mmdet_alrp.segmentation.losses.surrogate_parameters import metric_weights

from .holdout import hold_out
from .start import LOSS, save_start, start_with_cross_entropy, surrogate_losses

# Each with the figures that it measures, and the settings that it shares with the loss
_EVALUATORS = {
    'RegionMetric': (REGION_METRICS, ('ignore_index',)),
    'BoundaryMetric': (
        BOUNDARY_METRICS,
        ('ignore_index', 'tolerance', 'drop_background', 'count_ignored_edges'),
    ),
}


@dataclass(frozen=True)
class ProxyTask:
    """One sample to train and judge; plain data that goes to another process.

    Args:
        round: Round of the search.
        index: Number of the sample in its round.
        config_file: Config of the proxy, with a ``search`` dict.
        theta: Parameters by metric, as the contents of a parameter file; None trains the common
            start, with cross entropy.
        seed: Of the training, the same for all samples of a search, so that they differ in nothing
            but their parameters.
        folder: Where the sample's output goes; it is made if need be.
        start: File of the common start: where its weights go, or where a sample takes them from;
            empty if samples start as the config says.
    """

    round: int
    index: int
    config_file: str
    theta: Mapping[str, Any] | None
    seed: int
    folder: str
    start: str = ''


@dataclass(frozen=True)
class ProxyResult:
    """Reward, metrics and duration of a sample, or why it failed.

    Args:
        round: Round of the search.
        index: Number of the sample in its round.
        reward: Weighted mean of the metrics that are searched for, in [0, 1]; None if it failed.
        metrics: All figures that were measured on the part held out.
        seconds: Wall-clock time.
        failure: Why it failed, in one line; empty otherwise.
    """

    round: int
    index: int
    reward: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str = ''


def prepare_proxy(cfg: Config) -> Config:
    """Make the config of a proxy task: split, metrics and hooks as a search needs them.

    The training set is split as ``search.holdout`` says: one part trains, the other is judged with
    the validation's transforms, once, at the end. The metrics are those that
    ``search.target_metric`` needs, with the settings that they have in ``val_evaluator``, else
    those of the loss. Nothing is saved or drawn. A config that is prepared already stays as it is.

    Args:
        cfg: Config with a ``search`` dict; it is not changed.

    Raises:
        ValueError: If the config is none of a search, in one line.
    """
    cfg = Config(cfg.to_dict(), filename=cfg.filename)
    search = cfg.get('search')
    if not isinstance(search, Mapping) or not {'target_metric', 'holdout'} <= set(search):
        raise ValueError('the config has no search = dict(target_metric=..., holdout=...)')
    losses = list(surrogate_losses(cfg.get('model')))
    if not losses:
        raise ValueError(f'the model has no {LOSS}, whose parameters are to be searched')
    if search.get('prepared'):
        return cfg
    for loss in losses:
        loss.update(target_metric=search.target_metric, theta='diagonal')
        for key in ('parameterization', 'segments'):
            loss.pop(key, None)
    _split(cfg)
    cfg.val_evaluator = _evaluators(search.target_metric, losses[0], cfg.get('val_evaluator'))
    _leave_out_extras(cfg)
    search.prepared = True
    return cfg


def run_proxy(task: ProxyTask) -> ProxyResult:
    """Train and judge one sample in this process, on its default device.

    The result is the same for the same task, number of threads and device.

    Args:
        task: The sample.

    Raises:
        ValueError: If the config is none of a search, or the reward is not finite.
        NotFiniteError: If the loss is NaN or infinite.
        Exception: Whatever else training raises.
    """
    started = time.monotonic()
    cfg = prepare_proxy(Config.fromfile(task.config_file))
    if task.theta is None:
        start_with_cross_entropy(cfg)
    else:
        for loss in surrogate_losses(cfg.model):
            loss.theta = dict(task.theta)
        cfg.load_from = task.start or cfg.get('load_from')
    cfg.work_dir = task.folder
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': task.seed}
    # MMEngine keeps its loggers and visualisers by this name, one run after another.
    cfg.experiment_name = f'search_{task.round}_{task.index}_{time.time_ns()}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    if task.theta is None:
        save_start(runner.model, task.start)
    metrics = {name: float(value) for name, value in runner.val_loop.run().items()}
    weights = metric_weights(cfg.search.target_metric)
    reward = sum(weight * metrics[name] for name, weight in weights.items()) / sum(weights.values())
    if not math.isfinite(reward):
        raise ValueError(f'the reward is {reward}: no hold-out image has what {[*weights]} measure')
    seconds = time.monotonic() - started
    return ProxyResult(task.round, task.index, reward, metrics, seconds)


def _split(cfg: Config) -> None:
    judged = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    pipeline = judged and judged.get('dataset', {}).get('pipeline')
    if not pipeline or not cfg.get('train_dataloader'):
        raise ValueError('the config needs train_dataloader, and val_dataloader.dataset.pipeline')
    parts = hold_out(cfg.train_dataloader.dataset, pipeline, cfg.search.holdout)
    cfg.train_dataloader.dataset, judged.dataset = parts
    cfg.val_dataloader = judged
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.persistent_workers = loader.get('num_workers', 0) > 0
    cfg.val_cfg = {'type': 'ValLoop'}
    # The one validation is run_proxy's, which needs its figures.
    cfg.train_cfg.val_begin = torch.iinfo(torch.int64).max
    for key in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        cfg.pop(key, None)


def _evaluators(
    target_metric: str | Mapping[str, float], loss: ConfigDict, given: Any
) -> list[dict]:
    targets = metric_weights(target_metric)
    judges = given if isinstance(given, (list, tuple)) else [given or {}]
    found = []
    for name, (figures, shared) in _EVALUATORS.items():
        if not set(figures) & set(targets):
            continue
        settings = {'type': f'mmengine.{name}'}
        own = [judge for judge in judges if str(judge.get('type')).rpartition('.')[2] == name]
        for source in (loss, *own[:1]):
            settings.update((key, source[key]) for key in shared if key in source)
        found.append(settings)
    return found


def _leave_out_extras(cfg: Config) -> None:
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    hooks.pop('visualization', None)
    hooks.checkpoint = None  # without an entry MMEngine adds its own
    hooks.setdefault('finite_loss', {'type': 'mmdet.FiniteLossHook'})
    hooks.setdefault('mask_check', {'type': 'MaskCheckHook'})
    cfg.visualizer = {'type': 'mmengine.Visualizer', 'vis_backends': []}
    cfg.auto_scale_lr = None
    cfg.resume, cfg.launcher = False, 'none'
