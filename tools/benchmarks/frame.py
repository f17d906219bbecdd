"""What the benchmarks share: options, turns, costs of a call, tables, and how figures are kept."""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from mmdet_alrp.command_line import OneLineParser
from mmdet_alrp.evaluation.json_files import write_json

LAUNCHES = ('cudaLaunchKernel', 'cuLaunchKernel')  # and their variants, such as ...ExC
# The profiler itself ends with a cudaDeviceSynchronize, which is therefore not counted.
WAITS = ('cudaStreamSynchronize', 'cudaEventSynchronize')
Call = Callable[[], object]


class BenchmarkParser(OneLineParser):
    """Command line of a benchmark: ``--device``, ``--repeat``, ``--threads`` and ``--json``.

    Args:
        tool: File name of the benchmark.
        text: Its docstring.
        repeat: Default of ``--repeat``.
    """

    def __init__(self, tool: str, text: str | None, repeat: int = 7) -> None:
        style = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=tool, description=text, formatter_class=style)
        self.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
        self.add_argument('--repeat', type=count, default=repeat)
        self.add_argument('--threads', type=count, help='CPU threads of PyTorch')
        self.add_argument('--json', type=new_file, metavar='FILE', help='write all figures')

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Read the command line; ``device`` becomes a device that can hold a tensor."""
        args = self.parse_args(argv)
        try:
            device = torch.device(args.device)
            if device.type in ('cpu', 'cuda'):
                torch.zeros(1, device=device)
                args.device = device
                return args
        except (RuntimeError, AssertionError) as reason:
            self.error(f'--device {args.device}: {str(reason).splitlines()[0]}')
        self.error(f'--device must be cpu, cuda or cuda:N, got {args.device}')


def count(text: str) -> int:
    """Whole number >= 1 from the command line, also in the form 1e6.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (1 <= value < 1e12 and value == int(value)):
        raise argparse.ArgumentTypeError(f'must be a whole number of at least 1: {text}')
    return int(value)


def new_file(text: str) -> Path:
    """Path of a file, from the command line, that can be written: its folder is there.

    Raises:
        ArgumentTypeError: If there is no such folder, or a folder of that name.
    """
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f'no folder {path.parent}')
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{text} is a folder, not a file')
    return path


def set_threads(args: argparse.Namespace, *keys: str) -> dict:
    """Take ``--threads``, and tell machine, versions, date and these options."""
    if args.threads:
        torch.set_num_threads(args.threads)
    known = {'machine': name_machine(args.device), 'device': str(args.device)}
    known |= {'torch': torch.__version__, 'threads': torch.get_num_threads()}
    known |= {key: vars(args)[key] for key in (*keys, 'repeat')}
    return known | {'date': datetime.date.today().isoformat()}


def publish(args: argparse.Namespace, setting: dict, title: str, table: str, **figures: object):
    """Print title and table; write setting and figures where ``--json`` says.

    What cannot be written ends the benchmark with one line and status 2.
    """
    title = '{machine} ({device}), PyTorch {torch}, {threads} thread(s), ' + title + ', {date}'
    print(title.format(**setting), table, sep='\n\n')
    if args.json:
        try:
            write_json(args.json, {**setting, **figures})
        except OSError as reason:
            print(f'{Path(sys.argv[0]).name}: error: --json: {reason}', file=sys.stderr)
            sys.exit(2)


def name_machine(device: torch.device) -> str:
    """The processor that did the work, as it calls itself."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    models = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    named = [model for model in models if model.lower() != 'unknown']
    return named[0] if named else f'{platform.system()} {platform.machine()} CPU'


def wait_for(device: torch.device) -> None:
    """Let the device finish what is queued."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def seconds_of(call: Call, device: torch.device) -> float:
    """Wall time of one call, the device's queue emptied before and after."""
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def costs_in_turns(
    calls: Mapping[str, Call], device: torch.device, repeat: int, few: str = ''
) -> dict[str, dict]:
    """Costs of each call and the median of its times; the calls take turns.

    Args:
        calls: What to time, by name.
        device: Where the calls work.
        repeat: Turns.
        few: Name of a call that takes seconds and is timed three times only.
    """
    figures = {name: costs_of(call, device) for name, call in calls.items()}  # warms up too
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeat):
        for name, call in calls.items():
            if name != few or turn < 3:
                times[name].append(seconds_of(call, device))
    return {
        name: {**figures[name], 'seconds': statistics.median(own)} for name, own in times.items()
    }


def costs_of(call: Call, device: torch.device) -> dict[str, float | None]:
    """Make a call once, watched by the profiler of PyTorch.

    Returns:
        ``peak_bytes``, tensors at their highest above what was there before, the result among them;
        and on CUDA ``kernels`` launched, ``waits`` of the host and ``gpu_seconds`` of work, which
        are None on the CPU and where the profiler sees no CUDA calls.
    """
    unseen = {'kernels': None, 'waits': None, 'gpu_seconds': None}
    if device.type == 'cpu':
        with _profiled(ProfilerActivity.CPU, profile_memory=True) as watched:
            result = call()
        del result  # after the watch, so that its release is not taken for a smaller peak
        events = watched.profiler.kineto_results.events()
        changes = (event.nbytes() for event in events if event.name() == '[memory]')
        return {'peak_bytes': max(accumulate(changes, initial=0)), **unseen}
    call()  # kernels that are compiled or loaded at their first use
    wait_for(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with _profiled(ProfilerActivity.CPU, ProfilerActivity.CUDA) as watched:
        call()
    peak = torch.cuda.max_memory_allocated(device) - before
    events = list(watched.profiler.kineto_results.events())
    kernels = sum(event.name().startswith(LAUNCHES) for event in events)
    if kernels == 0:
        return {'peak_bytes': peak, **unseen}
    worked = sum(event.duration_ns() for event in events if event.device_type() == DeviceType.CUDA)
    waits = sum(event.name().startswith(WAITS) for event in events)
    return {'peak_bytes': peak, 'kernels': kernels, 'waits': waits, 'gpu_seconds': worked / 1e9}


def _profiled(*activities: ProfilerActivity, **options: bool) -> profile:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about options that another release renames
        return profile(activities=list(activities), **options)


def ratio(figures: Mapping[str, dict], top: str, bottom: str | None) -> str:
    """Time of ``top`` over that of ``bottom``, or a dash where there is none to compare."""
    if bottom is None or bottom not in figures:
        return '-'
    return f'{figures[top]["seconds"] / figures[bottom]["seconds"]:.3g}'


def milliseconds(seconds: float, digits: int = 1) -> str:
    """Time for a table: three digits or so, at most ``digits`` behind the point."""
    return f'{1000 * seconds:,.{0 if seconds >= 0.1 else digits}f}'


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """Markdown table; the first ``left`` columns are texts, the others numbers."""
    rule = ['---'] * left + ['---:'] * (len(head) - left)
    return '\n'.join('| ' + ' | '.join(map(str, cells)) + ' |' for cells in (head, rule, *rows))
