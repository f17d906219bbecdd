"""MkDocs hook: lists and tables may follow a paragraph directly, as on a code host.

Python-Markdown, which builds the site, wants an empty line before them; without it a list becomes
a part of the paragraph above.
"""

from __future__ import annotations

import re

FENCE = re.compile(r'^\s*(```|~~~)')
ITEM = re.compile(r'^(?:[-*] |\d+\. )')
ROW = re.compile(r'^\|')


def _kind(line: str) -> str:
    """Say what a line outside of code belongs to."""
    if not line.strip():
        return 'empty'
    if ROW.match(line):
        return 'table'
    if ITEM.match(line):
        return 'list'
    return 'continued' if line.startswith(' ') else 'text'


def separate_blocks(markdown: str) -> str:
    """Put an empty line before every list and table, and behind every table and code block."""
    result: list[str] = []
    before, in_code = 'empty', False
    for line in markdown.split('\n'):
        fence = FENCE.match(line) is not None
        if in_code:
            result.append(line)
            in_code = not fence
            before = 'code'
            continue
        kind = 'code' if fence else _kind(line)
        starts = kind in ('list', 'table', 'code') and before not in (kind, 'empty')
        # A fence inside of an item, and an item's second line, stay with it.
        inside = before in ('list', 'continued') and (line.startswith(' ') or kind == 'list')
        ends = before in ('code', 'table') and kind not in (before, 'empty')
        if (starts and not inside) or ends:
            result.append('')
        result.append(line)
        in_code = fence
        before = kind
    return '\n'.join(result)


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """Space a page as Python-Markdown needs it."""
    return separate_blocks(markdown)
