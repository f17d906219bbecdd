"""How a tool that may run in several processes ends: in one line where the user got it wrong."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.guards.errors import GuardError

from .launch import finish_launch, in_cpu_group, is_first_process


def _last_word(error: Exception) -> str:
    """Return the message alone where a data loader's worker has put its traceback before it."""
    text = str(error)
    if 'Original Traceback' not in text:
        return text
    return text.strip().splitlines()[-1].partition('Error: ')[2]


def exit_status_of(main: Callable[[], None], tool: str) -> int:
    """Run a tool; report wrong use in one line, once for all processes.

    Args:
        main: What the tool does.
        tool: Its file name, for the message.

    Returns:
        0, or 2 after a :class:`UsageError` or an error of a guard. In one of several processes on
        the CPU it does not return: see :func:`~mmdet_alrp.cli.launch.finish_launch`.

    Raises:
        Exception: Whatever else the tool raises.
    """
    status = 0
    # mmengine's way to look packages up; nothing that a user of a tool can change
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated', UserWarning)
    try:
        main()
    except (UsageError, GuardError) as error:
        status = 2
        if is_first_process():
            print(f'{tool}: error: {_last_word(error)}', file=sys.stderr)  # noqa: T201
    except Exception:  # shown here, not swallowed: see finish_launch for the way out of a CPU group
        if not in_cpu_group():
            raise
        status = 1
        traceback.print_exc()
    finish_launch(status)
    return status
