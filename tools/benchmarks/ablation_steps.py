"""Time training steps of several configs beside each other, each on a batch of its own data.

The models have random weights, and the learning rate is 0: every step does the work of the first,
in which most negatives matter to a ranking. The contestants take turns inside each repeat, so that
a busy machine slows all of them alike. Times on the CPU are processor time, which other load hardly
touches, those on CUDA wall time. Hooks, data loading and logs are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from training_step import Contestant, wait_for  # first: it finds the package

# isort: split
import numpy as np
import torch
from figures import count, milliseconds, new_file, write_json
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from ranking_losses import usable_device

from mmdet_alrp.command_line import OneLineParser, UsageError, fail


class RealStep(Contestant):
    """A model with its optimiser, on the first batch of its config's training data.

    Args:
        config: Config file.
        device: Where it trains.

    Raises:
        UsageError: If its loss is not finite.
    """

    def __init__(self, config: str, device: torch.device) -> None:
        self.config, self.device = config, device
        cfg = Config.fromfile(config)
        init_default_scope('mmdet')
        MMLogger.get_current_instance().setLevel('ERROR')  # it lists every parameter
        cfg.optim_wrapper.optimizer.lr = 0.0
        torch.manual_seed(0)
        self.model = MODELS.build(cfg.model).to(device).train()
        self.model.init_weights()
        self.optim = build_optim_wrapper(self.model, cfg.optim_wrapper)
        self.batch, self.num_steps = first_batch(cfg.train_dataloader)
        self.val_batch, self.num_val_steps = first_batch(cfg.val_dataloader)
        if not self.step()['loss'].isfinite():  # warms up as well
            raise UsageError(f'{config}: the loss is not finite, so its time says nothing')

    def predict_seconds(self) -> float:
        """Time of one step of a validation, in which the untrained model finds the most."""
        self.model.eval()
        clock = time.process_time if self.device.type == 'cpu' else time.perf_counter
        wait_for(self.device)
        start = clock()
        with torch.no_grad():
            self.model.val_step(self.val_batch)
        wait_for(self.device)
        return clock() - start


def first_batch(settings: dict) -> tuple[dict, int]:
    """First batch of a data loader, the same for all configs of one data set, and their number."""
    settings = {**settings, 'num_workers': 0, 'persistent_workers': False}
    np.random.seed(0)  # noqa: NPY002 - what MMDetection's transforms draw from
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools chats
        loader = Runner.build_dataloader(settings, seed=0)
    return next(iter(loader)), len(loader)


def measure(configs: Sequence[str], device: torch.device, repeat: int) -> list[dict]:
    """Times of all configs, the first of which the ratios refer to."""
    contestants = [RealStep(config, device) for config in configs]
    times: list[list[float]] = [[] for _ in contestants]
    for turn in range(repeat):
        order = -1 if turn % 2 else 1  # so that each follows the other as often
        for contestant, seconds in list(zip(contestants, times, strict=True))[::order]:
            wall, cpu = contestant.seconds()
            seconds.append(cpu if device.type == 'cpu' else wall)
    return [
        {
            'config': contestant.config,
            'seconds': seconds,
            'ratio': statistics.median(
                own / first for own, first in zip(seconds, times[0], strict=True)
            ),
            'num_steps': contestant.num_steps,
            'predict_seconds': contestant.predict_seconds(),
            'num_val_steps': contestant.num_val_steps,
        }
        for contestant, seconds in zip(contestants, times, strict=True)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line a config and return the exit status."""
    parser = OneLineParser(description=__doc__, prog='ablation_steps.py')
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
    parser.add_argument('--repeat', type=count, default=7)
    parser.add_argument('--threads', type=count, default=1, help='CPU threads of PyTorch')
    parser.add_argument('--json', type=new_file, metavar='FILE', help='write all figures')
    args: argparse.Namespace = parser.parse_args(argv)
    device = usable_device(parser, args.device)
    torch.set_num_threads(args.threads)
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated', UserWarning)
    try:
        rows = measure(args.configs, device, args.repeat)
        if args.json:
            write_json(args.json, {'device': str(device), 'rows': rows})
    except (UsageError, OSError) as error:
        return fail('ablation_steps.py', error)
    for row in rows:
        median = milliseconds(statistics.median(row['seconds']))
        print(f'{Path(row["config"]).stem}: {median} ms, {row["ratio"]:.2f} of the first')
    return 0


if __name__ == '__main__':
    sys.exit(main())
