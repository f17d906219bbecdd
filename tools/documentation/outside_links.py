"""MkDocs hook: links of the pages that lead out of docs/ work on the site as on a code host.

A page links to a config or a tool by its path in the repository. The site takes such a file along
as text, under ``sources/``; the README and its neighbours become pages. A link to a file that does
not exist is left as it is, and `mkdocs build --strict` refuses it. Badges of the README, which a
server draws, are left out: the site fetches nothing.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# Pages of the site that lie beside docs/ in the repository
PAGES = {
    'README.md': 'project/readme.md',
    'CHANGELOG.md': 'project/changelog.md',
    'CONTRIBUTING.md': 'project/contributing.md',
}
LINK = re.compile(r'\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)')
BADGE = re.compile(r'\[!\[[^]]*\]\(https?://[^)]*\)\]\([^)]*\)|!\[[^]]*\]\(https?://[^)]*\)')


def site_uri(path: Path, config: MkDocsConfig) -> str | None:
    """Return where a file of the repository lies in the site's sources.

    Args:
        path: A file, absolute and without ``..``.
        config: MkDocs' settings.

    Returns:
        The address from the root of the site's sources; None for what is no file of the repository.
    """
    docs, root = Path(config.docs_dir), Path(config.config_file_path).parent
    if path.is_relative_to(docs):
        return path.relative_to(docs).as_posix()
    if not path.is_file() or not path.is_relative_to(root):
        return None
    name = path.relative_to(root).as_posix()
    return PAGES.get(name, f'sources/{name}.txt')  # browsers show .txt and download the rest


def target_of(link: str, page: File) -> Path:
    """Return the file that a link of a page leads to."""
    return Path(posixpath.normpath(Path(page.abs_src_path).parent / link))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages beside docs/, and every file outside that a page links to."""
    root = Path(config.config_file_path).parent
    for name, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(root / name)))
    for page in files.documentation_pages():
        for match in LINK.finditer(page.content_string):
            target = target_of(match[1], page)
            uri = site_uri(target, config)
            if uri is not None and uri.startswith('sources/') and uri not in files.src_uris:
                files.append(File.generated(config, uri, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page to where the site has what they lead to."""
    here = posixpath.dirname(page.file.src_uri)

    def turn(match: re.Match) -> str:
        uri = site_uri(target_of(match[1], page.file), config)
        if uri is None:
            return match[0]
        return f']({posixpath.relpath(uri, here)}{match[2] or ""})'

    return LINK.sub(turn, BADGE.sub('', markdown))
