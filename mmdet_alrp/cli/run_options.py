"""Options that the tools which run a config share."""

from __future__ import annotations

import argparse
import ast
from typing import Any

from mmengine.config import DictAction


class ConfigOptions(DictAction):
    """``DictAction`` that takes ``key={...}`` too and reports wrong forms as wrong use."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Collect the pairs of one ``--cfg-options``."""
        flat, nested = [], {}
        for pair in values or []:
            key, equals, value = pair.partition('=')
            if not key or not equals:
                parser.error(f'{option_string}: must be key=value, got {pair!r}')
            if not value.startswith('{'):
                flat.append(pair)
                continue
            try:
                nested[key] = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                parser.error(f'{option_string}: {key} must be a dict in Python, got {value!r}')
        try:
            super().__call__(parser, namespace, flat, option_string)
        except AssertionError as error:  # brackets that do not match
            parser.error(f'{option_string}: {error}')
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **nested})


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that train.py and test.py share, as MMDetection spells them.

    Args:
        parser: Parser of the tool.
    """
    parser.add_argument('--work-dir', help='folder of logs, checkpoints and figures')
    parser.add_argument(
        '--data-root', metavar='FOLDER', help="where the data set lies, for the config's data_root"
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='settings that replace those of the config, such as optim_wrapper.optimizer.lr=0.01; '
        'a list is key="[a,b]" or key=a,b, a dict key="{\'a\':1}"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed run were started',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
