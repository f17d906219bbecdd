"""Search the parameters of a surrogate loss for a segmentation metric (Auto Seg-Loss)."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
from mmengine.config import Config

from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.cli.input_checks import check_data
from mmdet_alrp.cli.run_config import load_config
from mmdet_alrp.cli.run_options import ConfigOptions
from mmdet_alrp.command_line import OneLineParser, UsageError
from mmdet_alrp.segmentation.search import SearchSpace, prepare_proxy
from mmdet_alrp.segmentation.search.outputs import write_found, write_pictures
from mmdet_alrp.segmentation.search.plan import SearchPlan
from mmdet_alrp.segmentation.search.progress import Progress, duration, printing
from mmdet_alrp.segmentation.search.records import (
    RECORD_FILE,
    SearchRecord,
    check_same_settings,
    read_record,
)
from mmdet_alrp.segmentation.search.search import SearchParts, run_search
from mmdet_alrp.segmentation.search.settings import (
    ALGORITHM_BY_OPTION,
    parameter_file,
    proxy_content,
    proxy_digest,
    search_settings,
    target_name,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__, prog='search_loss.py')
    parser.add_argument('config', help='config of a search, with search=dict(...)')
    parser.add_argument(
        '--work-dir',
        help='folder of record, parameters, pictures and report (work_dirs/CONFIG, with _random '
        'and _seedN behind it where those options are given)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='settings that replace those of the config, such as search.rounds=4',
    )
    parser.add_argument(
        '--algorithm',
        choices=list(ALGORITHM_BY_OPTION),
        help='instead of that of the config; random is the baseline at the same number of samples',
    )
    parser.add_argument('--seed', type=int, metavar='N', help='instead of that of the config')
    parser.add_argument('--workers', type=int, metavar='N', help='trainings side by side')
    parser.add_argument(
        '--resume', action='store_true', help='go on with the search of the work dir'
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='train with one sample, say what the search would cost, and leave nothing behind',
    )
    parser.add_argument(
        '--compare',
        nargs='+',
        type=Path,
        default=[],
        metavar='DIR',
        help='other searches to draw beside this one, such as that of --algorithm random',
    )
    parser.set_defaults(launcher='none', local_rank=0)
    return parser.parse_args(argv)


def make_plan(args: argparse.Namespace) -> SearchPlan:
    """Read the config and check everything that can be checked before a training.

    Raises:
        UsageError: If something is wrong with it, in one line.
    """
    cfg = load_config(args)
    settings = search_settings(cfg, args.algorithm, args.seed, args.workers)
    check_data(cfg, ('train',))
    work_dir = cfg.work_dir
    if args.work_dir is None:
        work_dir += '_random' if args.algorithm == 'random' else ''
        work_dir += '' if args.seed is None else f'_seed{args.seed}'
    try:
        space = SearchSpace(settings['target_metric'], **settings['space'])
        proxy = prepare_proxy(cfg)
    except (ValueError, TypeError) as error:
        raise UsageError(f'{args.config}: {error}') from None
    settings = {'config': Path(args.config).name, **settings, 'proxy': proxy_digest(proxy)}
    return SearchPlan(settings, proxy, space, Path(work_dir))


def train_start(plan: SearchPlan, parts: SearchParts, folder: Path) -> float:
    """Train the common start if the search has one and it is not there yet; return the seconds.

    Raises:
        UsageError: If that fails.
    """
    task = plan.start_task(folder)
    if task is None:
        return 0.0
    (result,) = parts.executor.run([task])
    if result.failure:
        raise UsageError(f'the common start failed: {result.failure}')
    return result.seconds


def dry_run(plan: SearchPlan) -> None:
    """Train with one sample in a temporary folder and say what the whole search would cost.

    Raises:
        UsageError: If that training fails.
    """
    with tempfile.TemporaryDirectory(prefix='search_loss_') as name:
        folder = Path(name)
        parts = plan.parts(folder)
        plan.proxy.dump(folder / 'proxy.py')
        samples = parts.algorithm.propose()
        with contextlib.closing(parts.executor):
            start = train_start(plan, parts, folder)
            (result,) = parts.executor.run([parts.make_task(0, 0, samples[0])])
    if result.failure:
        raise UsageError(f'the sample that was tried failed: {result.failure}')
    rounds, total = plan.settings['rounds'], plan.settings['rounds'] * len(samples)
    print(
        f'one sample: {result.seconds:.1f} s, {target_name(plan.settings["target_metric"])} '
        f'{result.reward:.4f}'
    )
    print(f'search: {rounds} rounds x {len(samples)} samples = {total} samples')
    if start:
        print(f'common start, once: {start:.1f} s')
    print(cost_text(plan.settings, len(samples), result.seconds, start))


def cost_text(settings: Mapping[str, Any], samples: int, seconds: float, start: float) -> str:
    """Say what a whole search costs; how many samples Ray runs at a time is for Ray to say.

    Args:
        settings: Of the search.
        samples: Samples a round.
        seconds: Time of one sample.
        start: Seconds of the common start; 0 without one.
    """
    rounds, executor = settings['rounds'], settings['executor']
    cost = f'cost: {duration(start + rounds * samples * seconds)} of one worker; '
    if executor.get('type', 'local') != 'local':
        return (
            f'{cost}Ray runs as many side by side as search.executor.num_cpus and num_gpus leave '
            'room for'
        )
    workers = executor.get('workers', 1)
    waves = rounds * -(-samples // workers)
    return (
        f'{cost}about {duration(start + waves * seconds)} with {workers} of them side by side, if '
        'they do not slow each other down'
    )


def open_record(plan: SearchPlan, resume: bool) -> SearchRecord:
    """Return an empty record, or with ``--resume`` that of the work dir.

    Raises:
        UsageError: If the work dir holds a search already, or for ``--resume`` none, or one with
            other settings.
    """
    exists = (plan.work_dir / RECORD_FILE).is_file()
    if exists and not resume:
        raise UsageError(
            f'{plan.work_dir} holds a search already: go on with it by --resume, or give another '
            '--work-dir'
        )
    if not resume:
        return SearchRecord(plan.settings)
    record = read_record(plan.work_dir)
    proxy_file = plan.work_dir / 'proxy.py'
    if record.settings.get('proxy') != plan.settings['proxy'] and proxy_file.is_file():
        # Names what differs; the fingerprints that are compared next would say little.
        before = Config.fromfile(proxy_file)
        check_same_settings(proxy_content(before), proxy_content(plan.proxy))
    check_same_settings(record.settings, plan.settings)
    if plan.settings['rounds'] < len(record.rounds):
        raise UsageError(
            f'--resume: {len(record.rounds)} rounds are done or begun, more than search.rounds='
            f'{plan.settings["rounds"]}'
        )
    record.settings = plan.settings
    return record


def search(plan: SearchPlan, resume: bool, compare: Sequence[Path]) -> None:
    """Run or resume the search and write what it finds, round by round.

    Args:
        plan: What is searched.
        resume: Go on with the search of the work dir.
        compare: Work dirs of searches to draw beside this one.

    Raises:
        UsageError: If the work dir does not fit, or all samples of a round fail.
    """
    others = {folder.resolve().name: read_record(folder) for folder in compare}
    record = open_record(plan, resume)

    def after_round(record: SearchRecord) -> None:
        found = plan.space.decode(record.winner.sample)
        write_found(record, found, plan.work_dir)
        write_pictures(record, found, plan.work_dir, others)

    parts = plan.parts(plan.work_dir, after_round=after_round)
    plan.work_dir.mkdir(parents=True, exist_ok=True)
    plan.proxy.dump(plan.work_dir / 'proxy.py')
    say = printing(plan.work_dir / 'search.log')
    rounds, samples = plan.settings['rounds'], len(parts.algorithm.propose())
    done = len(record.samples)
    say(
        f'{record.algorithm}: {rounds} rounds x {samples} samples of {plan.space.size} numbers, '
        f'{done} done before; results in {plan.work_dir}'
    )
    name = target_name(plan.settings['target_metric'])
    with contextlib.closing(parts.executor):
        seconds = train_start(plan, parts, plan.work_dir)
        if seconds:
            say(f'common start trained with cross entropy in {seconds:.1f} s')
        progress = Progress(rounds * samples, done, rounds, name, say)
        run_search(parts, record, plan.work_dir, progress)
    after_round(record)  # of a finished search that is resumed, with other --compare say
    say(
        f'found: {name} {record.winner.reward:.4f} in round '
        f'{record.winner.round + 1}; train with theta='
        f'{str(plan.work_dir / parameter_file(plan.settings["target_metric"]))!r}'
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Search."""
    args = parse_args(argv)
    plan = make_plan(args)
    try:
        if args.dry_run:
            dry_run(plan)
        else:
            search(plan, args.resume, args.compare)
    except KeyboardInterrupt:
        raise UsageError('stopped; --resume goes on where it was') from None
    except ConnectionError as error:
        raise UsageError(f'search.executor: {error}') from None


if __name__ == '__main__':
    sys.exit(exit_status_of(main, 'search_loss.py'))
