"""MkDocs hook: every notebook in docs/ is a page of the site too, with its stored outputs.

``docs/NAME.ipynb`` becomes the page ``NAME.md``: text as it is, code and printed text as code
blocks, pictures as files in ``NAME_files/``. Nothing is run, and the page needs no script; links to
the notebook lead to the page.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

SUFFIX = '.ipynb'
# A link to a notebook: folder, name, anchor
LINK = re.compile(r'\]\((?!\w+:)([^)#\s]*?)(\w+)\.ipynb(#[^)\s]*)?\)')


def read_notebook(path: str | Path) -> dict:
    """Return a notebook as the dict that its file holds."""
    return json.loads(Path(path).read_text(encoding='utf-8'))


def pictures(notebook: dict) -> Iterator[bytes]:
    """Yield the PNG pictures among the stored outputs, in their order."""
    for cell in notebook['cells']:
        for output in cell.get('outputs', ()):
            if 'image/png' in output.get('data', {}):
                yield base64.b64decode(output['data']['image/png'])


def picture_uri(name: str, index: int) -> str:
    """Return where picture ``index``, counted from 1, of the notebook ``name`` lies."""
    return f'{name}_files/{index}.png'


def as_markdown(notebook: dict, name: str) -> str:
    """Return a notebook as a Markdown page.

    Args:
        notebook: A notebook of nbformat 4, as :func:`read_notebook` gives it.
        name: Name of the notebook's file without ``.ipynb``, for the places of its pictures.
    """
    blocks, count = [], 0
    for cell in notebook['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] != 'code':
            blocks.append(source)
            continue
        blocks.append(f'```python\n{source}\n```')
        for output in cell['outputs']:
            data = output.get('data', {})
            if 'image/png' in data:
                count += 1
                blocks.append(f'![output of the code above]({picture_uri(name, count)})')
            else:
                text = ''.join(output.get('text', data.get('text/plain', '')))
                blocks.append(f'```text\n{text.rstrip()}\n```')
    return '\n\n'.join(blocks) + '\n'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page and its pictures for every notebook."""
    for file in [file for file in files if file.src_uri.endswith(SUFFIX)]:
        name = file.src_uri.removesuffix(SUFFIX)
        page = File.generated(config, f'{name}.md', abs_src_path=file.abs_src_path)
        files.append(page)
        for index, png in enumerate(pictures(read_notebook(file.abs_src_path)), 1):
            files.append(File.generated(config, picture_uri(name, index), content=png))
    return files


def on_page_read_source(page: Page, **kwargs: object) -> str | None:
    """Return the text of a notebook's page; None for pages that are files of their own."""
    path = page.file.abs_src_path
    if path is None or not path.endswith(SUFFIX):
        return None
    name = posixpath.basename(page.file.src_uri).removesuffix('.md')
    link = f'[Download this page as a notebook]({name}{SUFFIX}){{download="{name}{SUFFIX}"}}'
    return f'{as_markdown(read_notebook(path), name)}\n{link}\n'


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """Lead links to notebooks to their pages, but for those that offer a download."""
    return LINK.sub(_page_link, markdown)


def _page_link(match: re.Match) -> str:
    if match.string.startswith('{download=', match.end()):
        return match[0]
    return f']({match[1]}{match[2]}.md{match[3] or ""})'
