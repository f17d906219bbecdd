"""Says in one line that a checkpoint is another model's, where MMEngine only logs what differs."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.engine.wrapped_models import bare_detector
from mmdet_alrp.guards.checkpoint_safety import load_safely

# What a checkpoint may lack: state of a loss (balance ratio and sums), counters of old versions
OPTIONAL = re.compile(r'(^|\.)(loss_\w+\..*|num_batches_tracked)$')
NAMES_SHOWN = 2


def check_weights(model: nn.Module, path: str, option: str) -> None:
    """Load a checkpoint into a model that is to take all its weights from there.

    More than the model needs is no error, so that any loss can test what another has trained.

    Args:
        model: The model.
        path: A checkpoint that :func:`~mmdet_alrp.cli.checkpoint_files.check_checkpoint` has
            found readable, or an address (with ``://``), which is left to MMEngine.
        option: What the user knows the file as, for the message.

    Raises:
        UsageError: If weights are missing, have another shape, or are none.
        RuntimeError: If the model cannot load them for another reason.
    """
    if '://' in path:
        return
    content = load_safely(path)
    weights = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise UsageError(f'{option}: {path} is no checkpoint: it holds no weights')
    stripped = OrderedDict((key.removeprefix('module.'), value) for key, value in weights.items())
    stripped._metadata = getattr(weights, '_metadata', None)
    try:
        found = bare_detector(model).load_state_dict(stripped, strict=False)
    except RuntimeError as error:
        shapes = re.findall(r'size mismatch for (\S+):', str(error))
        if not shapes:
            raise
        misfit = f'{len(shapes)} weights have another shape ({_some(shapes)})'
    else:
        missing = [key for key in found.missing_keys if not OPTIONAL.search(key)]
        if not missing:
            return
        misfit = f'{len(missing)} weights are missing ({_some(missing)})'
    meta = content.get('meta')
    version = str(meta.get('mmdet_version', '')) if isinstance(meta, dict) else ''
    advice = (
        'a checkpoint of MMDetection 2 goes through tools/convert_published.py first'
        if version.startswith('2.')
        else 'give the config that it was trained with'
    )
    raise UsageError(f"{option}: {path} does not fit the config's model: {misfit}; {advice}")


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:NAMES_SHOWN]) + (', ...' if len(names) > NAMES_SHOWN else '')
