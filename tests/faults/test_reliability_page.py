import re
from pathlib import Path

FAULTS = Path(__file__).resolve().parent
PAGE = FAULTS.parents[1] / 'docs' / 'reliability.md'


def rows():
    table = [line for line in PAGE.read_text('utf-8').splitlines() if line.startswith('| ')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in table[1:]]


def test_every_fault_names_tests_that_exist():
    text = '\n'.join(path.read_text('utf-8') for path in FAULTS.glob('test_*.py'))
    tests = set(re.findall(r'^def (test_\w+)\(', text, re.MULTILINE))
    assert len(rows()) > 20
    for fault, outcome, named in rows():
        names = re.findall(r'`(test_\w+)`', named)
        assert fault and outcome and names, fault
        assert set(names) <= tests, fault


def test_hooks_of_the_page_are_registered():
    from mmdet.registry import HOOKS

    import mmdet_alrp  # noqa: F401 - registers them

    for name in set(re.findall(r"type='(\w+)'", PAGE.read_text('utf-8'))):
        assert HOOKS.get(name) is not None, name
