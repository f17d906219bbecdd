"""The record of a search: whole at any time, refused where it does not fit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from quick_search import KilledError, QuickExecutor, search, settings_of

from mmdet_alrp.atomic_write import write_file
from mmdet_alrp.command_line import UsageError
from mmdet_alrp.segmentation.search.records import (
    SampleRecord,
    SearchRecord,
    check_same_settings,
    read_record,
)


def test_record_comes_back_as_it_was(tmp_path):
    with pytest.raises(KilledError):
        search(tmp_path, QuickExecutor(frozenset({(0, 2)}), dies_after=6))
    record = read_record(tmp_path)
    assert [len(entry.samples) for entry in record.rounds] == [4, 4]
    assert [sample.done for sample in record.rounds[1].samples] == [False, False, True, True]
    assert not record.rounds[1].done and len(record.finished_rounds) == 1
    assert record.settings == settings_of() and record.winner.round == 0
    path = record.save(tmp_path / 'copy')
    assert path.read_bytes() == (tmp_path / 'search.json').read_bytes()
    assert read_record(path) == record


def test_rewards_are_kept_to_the_last_bit(tmp_path):
    record, _ = search(tmp_path)
    assert read_record(tmp_path).rounds == record.rounds


def test_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / 'search.json'
    path.write_text('old')
    program = (
        'import os, signal\n'
        'from mmdet_alrp.atomic_write import write_file\n'
        'os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n'
        f'write_file({str(path)!r}, "new" * 100000)\n'
    )
    root = Path(__file__).resolve().parents[3]
    killed = subprocess.run(
        [sys.executable, '-c', program], env={**os.environ, 'PYTHONPATH': str(root)}, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == 'old'
    write_file(path, 'newer')  # what the killed process left is in nobody's way
    assert path.read_text() == 'newer' and os.listdir(tmp_path) == ['search.json']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"format": 1', 'is no record of a search'),
        ('[]', 'is no record of a search'),
        ('{"format": 99, "rounds": []}', 'written by another version'),
        ('{"format": 1, "rounds": [], "winner": null, "settings": {}}', 'is no record of a search'),
        ('{"format": 1, "rounds": [{"mean": null}], "settings": {}}', 'is no record of a search'),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, message):
    (tmp_path / 'search.json').write_text(content)
    with pytest.raises(UsageError, match=message) as raised:
        read_record(tmp_path)
    assert '\n' not in str(raised.value) and str(tmp_path / 'search.json') in str(raised.value)


def test_folder_without_a_search_is_refused(tmp_path):
    with pytest.raises(UsageError, match='holds no search: there is no'):
        read_record(tmp_path)


def test_not_finite_numbers_are_not_written(tmp_path):
    search(tmp_path)
    record = read_record(tmp_path)
    record.rounds[0].samples[0] = SampleRecord((0.5,), True, float('nan'))
    with pytest.raises(ValueError, match='not JSON compliant'):
        record.save(tmp_path)
    assert json.loads((tmp_path / 'search.json').read_text())['rounds']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'seed': 1}, 'with seed=0, now it is 1'),
        ({'target_metric': {'mIoU': 1.0}}, "target_metric='mIoU', now it is not set"),
        ({'algorithm': {'type': 'PPO', 'samples': 5}}, 'with algorithm.samples=4, now it is 5'),
        ({'space': {'segments': 3}}, 'with space.segments=not set, now it is 3'),
    ],
)
def test_other_settings_are_refused_by_name(change, message):
    with pytest.raises(UsageError, match=r'^--resume: the search was started') as raised:
        check_same_settings(settings_of(), {**settings_of(), **change})
    assert message in str(raised.value) and '\n' not in str(raised.value)


def test_settings_that_change_no_sample_may_differ():
    free = {'rounds': 30, 'executor': {'type': 'ray', 'num_cpus': 3}, 'config': 'renamed.py'}
    check_same_settings(settings_of(), {**settings_of(), **free})


def test_tuples_are_the_lists_that_a_file_makes_of_them():
    check_same_settings({'scale': (80, 80)}, {'scale': [80, 80]})


def test_empty_search_has_nothing():
    record = SearchRecord(settings_of())
    assert record.samples == [] == record.finished_rounds
