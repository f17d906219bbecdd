"""Record how large the rankings of a training run are: logits, positives, relevant negatives.

Trains CONFIG, without validation, and records every step of its first, middle and last epoch.
Relevant negatives, those that some positive's step reaches, shrink in number as a detector learns.
The scores of each kind are kept as quantiles; `ranking_losses.py --recorded FILE` draws rankings
from them and times the losses there.

Example:
    python tools/make_shapes.py data/shapes
    python tools/benchmarks/record_rankings.py configs/alrp_retinanet_r18_shapes.py --out sizes.json
    python tools/benchmarks/ranking_losses.py --recorded sizes.json

A shorter run: `--cfg-options train_cfg.max_epochs=3`. On several processes, those of the first one
are recorded, as one process ranks them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

if find_spec('mmdet_alrp') is None:  # not installed: the package lies two folders up
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

try:
    import torch
    from figures import new_file, write_json
    from mmengine.config import Config
    from mmengine.hooks import Hook
    from mmengine.runner import Runner
    from recorded_rankings import describe, typical

    from mmdet_alrp.cli.exit_status import exit_status_of
    from mmdet_alrp.cli.input_checks import check_data
    from mmdet_alrp.cli.launch import is_first_process, prepare_launch
    from mmdet_alrp.cli.run_config import load_config
    from mmdet_alrp.cli.run_options import add_common_options
    from mmdet_alrp.cli.runner_building import build_runner
    from mmdet_alrp.command_line import OneLineParser, UsageError
    from mmdet_alrp.models.losses import RankingLoss
    from mmdet_alrp.ranking import ClassTargets, at_least_float32, build_ranking
except ImportError as misfit:  # the package says which version does not fit, and what to do
    print(f'record_rankings.py: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)


class RankingRecorder(Hook):
    """Watches every ranking loss of a model during some epochs.

    Args:
        epochs: Those to record, counted from 1.

    Attributes:
        steps: One record a step and loss.
    """

    priority = 'LOWEST'

    def __init__(self, epochs: set[int]) -> None:
        self.epochs = epochs
        self.steps: list[dict] = []
        self._handles: list = []

    def before_train_epoch(self, runner: Runner) -> None:
        """Start to watch if the epoch is one of those to record."""
        if runner.epoch + 1 not in self.epochs:
            return
        for name, module in runner.model.named_modules():
            if isinstance(module, RankingLoss):
                note = partial(self._note, runner, name.removeprefix('module.'))
                self._handles.append(module.register_forward_pre_hook(note, with_kwargs=True))

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop to watch, so that other epochs run as fast as ever."""
        while self._handles:
            self._handles.pop().remove()

    @torch.no_grad()
    def _note(
        self, runner: Runner, name: str, module: RankingLoss, args: tuple, keywords: dict
    ) -> None:
        inputs = dict(zip(('logits', 'targets'), args, strict=False)) | keywords
        logits, targets = at_least_float32(inputs['logits']), inputs['targets']
        if isinstance(targets, ClassTargets):
            targets = targets.flat()
        ranking = build_ranking(logits, targets, module.delta)
        neg_index = torch.empty(0, dtype=torch.long) if ranking is None else ranking.neg_index
        place = {'epoch': runner.epoch + 1, 'step': runner.iter + 1}
        kind = {'loss': name, 'type': type(module).__name__, 'delta': module.delta}
        self.steps.append({**place, **kind, **describe(logits, targets, neg_index)})


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the recorder."""
    parser = OneLineParser(
        description=__doc__,
        prog='record_rankings.py',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config of a model with ranking losses')
    add_common_options(parser)
    parser.add_argument(
        '--out', type=new_file, metavar='FILE', help='default: rankings.json in the work dir'
    )
    return parser.parse_args(argv)


def epochs_to_record(cfg: Config) -> set[int]:
    """First, middle and last epoch, counted from 1.

    Raises:
        UsageError: If the config does not train by epochs.
    """
    last = (cfg.get('train_cfg') or {}).get('max_epochs')
    if type(last) is not int or last < 1:
        raise UsageError('the config trains no whole epochs: set train_cfg.max_epochs')
    return {1, (last + 1) // 2, last}


def table(steps: list[dict]) -> str:
    """One line an epoch and loss: the step with the median number of relevant negatives."""
    head = ('epoch', 'loss', 'logits', 'positives', 'relevant negatives')
    lines = ['| ' + ' | '.join(head) + ' |', '| ---: | :--- | ---: | ---: | ---: |']
    for step in typical(steps):
        sizes = (f'{step[name]:,}' for name in ('logits', 'positives', 'relevant'))
        lines.append(f'| {step["epoch"]} | {step["loss"]} | ' + ' | '.join(sizes) + ' |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, write the records and print one table.

    Args:
        argv: Command line; None takes that of the process.

    Raises:
        UsageError: If something is wrong with it or with what it names, in one line.
    """
    args = parse_args(argv)
    cfg = load_config(args)
    recorder = RankingRecorder(epochs_to_record(cfg))
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    check_data(cfg, ('train',))
    prepare_launch(cfg)
    runner = build_runner(cfg)
    if not any(isinstance(module, RankingLoss) for module in runner.model.modules()):
        raise UsageError(f'{args.config} has no ranking loss: record a config that has one')
    runner.register_hook(recorder)
    runner.train()
    if not is_first_process():
        return
    out = args.out or Path(cfg.work_dir) / 'rankings.json'
    try:
        write_json(out, {'config': args.config, 'steps': recorder.steps})
    except OSError as reason:
        raise UsageError(f'{out} cannot be written: {reason.strerror}') from None
    print(f'\n{table(recorder.steps)}\n\nwrote {out}')


if __name__ == '__main__':
    sys.exit(exit_status_of(main, 'record_rankings.py'))
