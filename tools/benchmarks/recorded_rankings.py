"""The rankings of a training run as small records, and batches drawn again from them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# Dense at the upper end, where negatives meet positives.
LEVELS = (0, 0.01, 0.05, *(k / 10 for k in range(1, 10)), 0.95, 0.99, 0.999, 0.9999, 1)
# Kinds of logits, each with the name of its quantiles
KINDS = {
    'positives': 'positive_scores',
    'relevant': 'relevant_scores',
    'irrelevant': 'irrelevant_scores',
    'ignored': 'ignored_scores',
}


def describe(logits: Tensor, targets: Tensor, neg_index: Tensor) -> dict:
    """Describe the size of a ranking and its scores.

    Args:
        logits: Shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, shape (n,).
        neg_index: Where the relevant negatives are: those that some positive's step reaches.

    Returns:
        The number of all logits and of each kind: positives, relevant and other negatives,
        ignored; and the quantiles (at ``LEVELS``) of each kind, an empty list where it has none.
    """
    logits = logits.detach().float()
    is_irrelevant = targets == 0
    is_irrelevant[neg_index] = False
    masks = (targets == 1, neg_index, is_irrelevant, targets < 0)
    record = {'logits': len(logits)}
    for (kind, scores), mask in zip(KINDS.items(), masks, strict=True):
        values = logits[mask]
        record |= {kind: len(values), scores: quantiles(values)}
    return record


def quantiles(values: Tensor) -> list[float]:
    """Quantiles at ``LEVELS``, ascending."""
    if not len(values):
        return []
    return [float(value) for value in np.quantile(values.cpu().numpy(), LEVELS)]


def draw_batch(record: dict, device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a ranking like the recorded one, with as many logits of each kind.

    Returns:
        ``logits`` (n,), requiring a gradient, ``targets`` (n,) and ``loc_errors`` (num_pos,).
    """
    rng = np.random.default_rng(seed)
    parts = []
    for kind, scores in KINDS.items():
        places = rng.random(record[kind])
        # The ends too: the lowest positive says which negatives are relevant.
        places[:2] = (0, 1)[: len(places)]
        parts.append(np.interp(places, LEVELS, record[scores]) if len(places) else places)
    logits = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    labels = torch.tensor([1, 0, 0, -1])
    targets = labels.repeat_interleave(torch.tensor([len(part) for part in parts]))
    order = torch.from_numpy(rng.permutation(len(logits)))
    loc_errors = torch.from_numpy(rng.random(record['positives'], dtype=np.float32))
    logits, targets = logits[order].to(device), targets[order].to(device)
    return logits.requires_grad_(), targets, loc_errors.to(device)


def typical(records: Sequence[dict]) -> list[dict]:
    """Of every epoch and loss, choose the step with the median number of relevant negatives.

    Steps without a positive, which cost nothing, are left out.
    """
    groups: dict[tuple[int, str], list[dict]] = {}
    for record in records:
        if record['positives']:
            groups.setdefault((record['epoch'], record['loss']), []).append(record)
    chosen = []
    for group in groups.values():
        by_size = sorted(group, key=lambda record: record['relevant'])
        chosen.append(by_size[(len(by_size) - 1) // 2])
    return chosen


def read_records(path: Path) -> list[dict]:
    """Read what record_rankings.py wrote.

    Raises:
        ValueError: In one line, if the file is missing or something else.
    """
    advice = 'write it with record_rankings.py'
    try:
        records = json.loads(path.read_text(encoding='utf-8'))['steps']
    except OSError as reason:
        raise ValueError(f'{path}: {reason.strerror}: {advice}') from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f'{path} holds no recorded rankings: {advice}') from None
    if not isinstance(records, list) or not all(map(_is_record, records)):
        raise ValueError(f'{path} holds rankings that are not as recorded: {advice}')
    if not any(record['positives'] for record in records):
        raise ValueError(f'{path} holds no ranking with a positive: {advice}')
    return records


def _is_record(record: object) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get('loss'), str):
        return False
    counts = [record.get(name) for name in ('epoch', 'logits', *KINDS)]
    if any(type(count) is not int or count < 0 for count in counts):
        return False
    return record['logits'] == sum(record[kind] for kind in KINDS) and all(
        _are_quantiles(record.get(scores), record[kind]) for kind, scores in KINDS.items()
    )


def _are_quantiles(values: object, count: int) -> bool:
    if not isinstance(values, list) or len(values) != (len(LEVELS) if count else 0):
        return False
    return all(isinstance(value, float) and math.isfinite(value) for value in values)
