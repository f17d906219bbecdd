"""Runs the code of docs/own_head.md, which registers the heads that it shows."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / 'docs' / 'own_head.md'
BLOCKS = re.findall(r'```python\n(.*?)```', PAGE.read_text(), flags=re.DOTALL)
REGISTERED = {}
exec(BLOCKS[0], REGISTERED)
