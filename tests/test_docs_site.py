"""The documentation site builds without a warning, is whole, and fetches nothing."""

import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
PAGES = sorted(path.name for path in DOCS.glob('*.md'))
NOTEBOOKS = sorted(path.name for path in DOCS.glob('*.ipynb'))
# What the reference must have in full; and its way of leading to an object
MODULES = ('ranking', 'models', 'models.losses', 'engine.hooks', 'evaluation', 'datasets')
MODULES += tuple(f'segmentation.{name}' for name in ('losses', 'evaluation', 'datasets', 'search'))
MODULES += ('segmentation.decode_heads',)
ENTRY = re.compile(r'^::: (\S+)$', re.MULTILINE)
LINK = re.compile(r'\]\((?!\w+:)([^)#\s]+)')


def nav_pages(entries):
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from nav_pages(value) if isinstance(value, list) else [value]


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The built site."""
    if importlib.util.find_spec('mkdocs') is None or importlib.util.find_spec('material') is None:
        reason = 'MkDocs is not installed: pip install -r requirements/docs.txt'
        if os.environ.get('CI') == 'true':
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)]
    # No proxy leads out: a build that asked the network for something would fail.
    nowhere = dict.fromkeys(('http_proxy', 'https_proxy', 'all_proxy'), 'http://127.0.0.1:9')
    answer = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **nowhere, 'NO_MKDOCS_2_WARNING': '1'},
    )
    assert answer.returncode == 0, answer.stderr
    return folder


def test_every_page_is_built_and_reachable(site):
    entries = list(nav_pages(yaml.safe_load((ROOT / 'mkdocs.yml').read_text('utf-8'))['nav']))
    assert len(entries) == len(set(entries))
    notebooks = {name.replace('.ipynb', '.md') for name in NOTEBOOKS}
    assert {entry for entry in entries if '/' not in entry} == {*PAGES, *notebooks}
    home = (site / 'index.html').read_text('utf-8')
    for entry in entries:
        page = Path(entry).with_suffix('.html').as_posix()
        assert (site / page).is_file() and f'href="{page}"' in home, entry


def test_nothing_is_fetched(site):
    for page in site.rglob('*.html'):
        loaded = re.findall(r'<(?:script|img|link|iframe)\b[^>]*', page.read_text('utf-8'))
        assert loaded
        assert not [tag for tag in loaded if re.search(r'(?:src|href)="?(?:https?:)?//', tag)], page


def test_links_out_of_docs_lead_to_pages_and_texts(site):
    zoo = (site / 'model_zoo.html').read_text('utf-8')
    links = set(re.findall(r'href="(sources/[^"]+)"', zoo))
    assert len(links) > 50
    for link in links:
        name = link.removeprefix('sources/').removesuffix('.txt')
        assert (site / link).read_text('utf-8') == (ROOT / name).read_text('utf-8')
    assert 'href="project/contributing.html"' in (site / 'own_loss.html').read_text('utf-8')
    readme = (site / 'project' / 'readme.html').read_text('utf-8')
    assert 'href="../install.html"' in readme and 'src="../images/gradients.png"' in readme


def test_reference_is_rendered_with_links(site):
    text = (site / 'api.html').read_text('utf-8')
    for name in ENTRY.findall((DOCS / 'api.md').read_text('utf-8')):
        assert f'id="{name}"' in text, name
    assert ':class:`' not in text and ':func:`' not in text
    assert re.search(r'href="#mmdet_alrp\.ranking\.rank_sort_loss"[^>]*><code>', text)


def test_reference_has_all_that_is_public():
    entries = ENTRY.findall((DOCS / 'api.md').read_text('utf-8'))
    assert len(entries) == len(set(entries))
    listed = set()
    for entry in entries:
        module, _, name = entry.rpartition('.')
        listed.add(getattr(importlib.import_module(module), name))
    for name in MODULES:
        module = importlib.import_module(f'mmdet_alrp.{name}')
        public = [getattr(module, entry) for entry in module.__all__]
        public = {item for item in public if inspect.isclass(item) or inspect.isfunction(item)}
        missing = sorted(item.__qualname__ for item in public - listed)
        assert not missing, f'docs/api.md lacks {missing} of {module.__name__}'


@pytest.mark.parametrize('page', PAGES + NOTEBOOKS)
def test_links_work_on_a_code_host_too(page):
    for link in LINK.findall((DOCS / page).read_text('utf-8')):
        assert (DOCS / link).exists(), link


def test_lists_do_not_run_on_in_paragraphs(site):
    run_on = re.compile(r'\n(?:[-*] |\d+\. |\|)')
    for page in site.rglob('*.html'):
        text = re.sub(r'<(pre|code)\b.*?</\1>', '', page.read_text('utf-8'), flags=re.DOTALL)
        for paragraph in re.findall(r'<p>(.*?)</p>', text, re.DOTALL):
            assert not run_on.search(paragraph), (page.name, paragraph[:100])
