"""Draw searches beside each other: PPO against random search, over seeds, as mean and spread."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import _find_package  # noqa: F401 - first

from mmdet_alrp.command_line import OneLineParser, UsageError, fail
from mmdet_alrp.segmentation.search.plots import group_figure, save_png
from mmdet_alrp.segmentation.search.records import FREE_SETTINGS, SearchRecord, read_record
from mmdet_alrp.segmentation.search.report import group_table
from mmdet_alrp.segmentation.search.settings import target_name

TOOL = 'plot_search.py'
# Settings in which the searches of a group may differ
_FREE = ('seed', *FREE_SETTINGS)


def group_searches(folders: Sequence[Path]) -> dict[str, list[SearchRecord]]:
    """Read searches; those that differ in nothing but their seed make a group.

    Args:
        folders: Work dirs of searches.

    Returns:
        Searches by a name: the algorithm; the target and a number go with it where the algorithm
        alone does not tell the groups apart.

    Raises:
        UsageError: If a folder holds no search or one without a finished round, or is given twice.
    """
    groups: dict[tuple, list[SearchRecord]] = {}
    for number, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            raise UsageError(f'{folder} is given twice')
        record = read_record(folder)
        if not record.finished_rounds:
            raise UsageError(f'{folder}: no round of this search is finished yet')
        compared = {key: value for key, value in record.settings.items() if key not in _FREE}
        groups.setdefault((record.algorithm, repr(sorted(compared.items()))), []).append(record)
    return _named(list(groups.values()))


def _named(groups: list[list[SearchRecord]]) -> dict[str, list[SearchRecord]]:
    """Take the shortest kind of name that tells groups apart."""
    firsts = [group[0] for group in groups]
    plain = [record.algorithm for record in firsts]
    longer = [
        f'{name}, {target_name(record.settings["target_metric"])}'
        for name, record in zip(plain, firsts, strict=True)
    ]
    numbered = [f'{name}, {number}' for number, name in enumerate(longer, 1)]
    names = next(kind for kind in (plain, longer, numbered) if len(set(kind)) == len(kind))
    return dict(zip(names, groups, strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    parser = OneLineParser(description=__doc__, prog=TOOL)
    parser.add_argument(
        'folders', nargs='+', type=Path, metavar='DIR', help='work dirs of searches'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='F.png', help='picture to write')
    args = parser.parse_args(argv)
    try:
        groups = group_searches(args.folders)
        save_png(group_figure(groups), args.out)
    except (UsageError, OSError) as error:
        return fail(TOOL, error)
    print(group_table(groups))
    print(args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
