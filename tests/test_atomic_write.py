import os
import stat

import pytest

from mmdet_alrp.atomic_write import atomic_write


def test_file_appears_at_the_end_under_its_own_name(tmp_path):
    target = tmp_path / 'table.tar.gz'
    target.write_text('old')
    with atomic_write(target) as draft:
        draft.write_text('new')
        assert target.read_text() == 'old'
        assert draft.parent == tmp_path and draft.name.startswith('.')
        assert draft.suffix == '.gz'
    assert target.read_text() == 'new'
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError, OSError])
def test_failure_leaves_the_old_file_and_no_draft(tmp_path, error):
    target = tmp_path / 'table.md'
    target.write_text('old')
    with pytest.raises(error), atomic_write(target) as draft:
        draft.write_text('half of the n')
        raise error
    assert target.read_text() == 'old'
    assert os.listdir(tmp_path) == [target.name]


def test_failure_before_anything_is_written(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / 'table.md'):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(('mask', 'mode'), [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_are_those_of_a_file_that_is_just_opened(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / 'table.md') as draft:
            draft.write_text('new')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'table.md').stat().st_mode) == mode


def test_file_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_write('table.md') as draft:
        draft.write_text('new')
    assert (tmp_path / 'table.md').read_text() == 'new'
    assert os.listdir(tmp_path) == ['table.md']


def test_fixed_name_replaces_what_was_left_behind(tmp_path):
    (tmp_path / '.left').write_text('longer than what comes')
    with atomic_write(tmp_path / 'table.md', '.left') as draft:
        draft.write_text('new')
    assert (tmp_path / 'table.md').read_text() == 'new'
    assert os.listdir(tmp_path) == ['table.md']


@pytest.mark.parametrize('place', ['folder', 'missing/table.md'])
def test_what_cannot_be_written_is_named_by_its_own_name(tmp_path, place):
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / place) as draft:
        draft.write_text('new')
    assert type(caught.value) in (IsADirectoryError, FileNotFoundError)
    assert caught.value.filename == str(tmp_path / place) and not caught.value.filename2
    assert os.listdir(tmp_path) == ['folder']
