"""Files beside the code that services and tools read: they parse, and agree with the package."""

import re
from pathlib import Path

import pytest
import yaml

from mmdet_alrp import __version__

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = sorted((ROOT / '.github' / 'ISSUE_TEMPLATE').glob('*.yml'))
FIELDS = {'textarea', 'dropdown', 'checkboxes', 'input', 'markdown'}


def read(name):
    return yaml.safe_load((ROOT / name).read_text('utf-8'))


def test_citation_names_version_licence_and_papers():
    citation = read('CITATION.cff')
    assert citation['cff-version'] == '1.2.0' and citation['authors'] and citation['message']
    assert citation['version'] == __version__ and citation['license'] == 'Apache-2.0'
    readme = (ROOT / 'README.md').read_text('utf-8')
    assert len(citation['references']) == 3
    for paper in citation['references']:
        assert paper['url'] in readme and paper['authors'] and paper['title'] and paper['year']


def test_licence_is_whole():
    text = (ROOT / 'LICENSE').read_text('utf-8')
    assert 'Apache License' in text and 'Version 2.0, January 2004' in text
    for number in range(1, 10):
        assert re.search(rf'^\s+{number}\. ', text, re.MULTILINE), number
    assert 'END OF TERMS AND CONDITIONS' in text


@pytest.mark.parametrize('path', TEMPLATES, ids=lambda path: path.stem)
def test_issue_template_is_a_form(path):
    form = yaml.safe_load(path.read_text('utf-8'))
    assert form['name'] and form['description']
    ids = [field['id'] for field in form['body']]
    assert len(ids) == len(set(ids))
    for field in form['body']:
        assert field['type'] in FIELDS and field['attributes']['label'], field['id']
    for name in re.findall(r'docs/\w+\.md|tools/\w+\.py', path.read_text('utf-8')):
        assert (ROOT / name).is_file(), name


def test_there_are_both_templates():
    assert [path.stem for path in TEMPLATES] == ['bug', 'feature']


def test_pre_commit_runs_the_pinned_ruff():
    hooks = [hook for repo in read('.pre-commit-config.yaml')['repos'] for hook in repo['hooks']]
    assert [hook['id'] for hook in hooks] == ['ruff-check', 'ruff-format']
    assert all(hook['entry'].startswith('.venv/bin/ruff ') for hook in hooks)
    pins = (ROOT / 'requirements' / 'constraints.txt').read_text('utf-8')
    assert re.search(r'^ruff==\d', pins, re.MULTILINE)
