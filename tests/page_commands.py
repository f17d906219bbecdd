"""The blocks and commands of README, CONTRIBUTING and docs, as a shell and a reader see them."""

import itertools
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ('README.md', 'CONTRIBUTING.md', *sorted(f'docs/{p.name}' for p in ROOT.glob('docs/*.md')))
FENCE = re.compile(r'^( *)```([^\n`]*)\n(.*?)^\1```$', re.MULTILINE | re.DOTALL)
SPAN = re.compile(r'(`+)(?!`)(.+?)(?<!`)\1(?!`)')
PROGRAMS = (
    'apt|apt-get|bash|cd|conda|curl|docker|for|git|make|mim|mkdocs|pip|pre-commit|pytest|python'
    '|python3|ruff|sbatch|sh|source|srun|torchrun|uv|wget'
)
# Code that is a command: a program and what it is told
COMMAND = re.compile(
    rf'(?!pip install$)(\w+=\S+ )*((\.venv/bin/)?({PROGRAMS})|tools/[\w/]+\.(py|sh)) \S'
)
# Bash itself tells the commands of a block, with loops run and all words expanded: before each
# command it calls the trap, which writes the words and skips the command.
LISTING = r"""
shopt -s extdebug
set -fT
trap 'case $BASH_COMMAND in
"for "*) ;;
*) eval "words=($BASH_COMMAND)"; printf "%s\037" "${words[@]}"; printf "\036"; false ;;
esac' DEBUG
"""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    code: str

    @property
    def place(self):
        return f'{self.page}:{self.line}'

    @property
    def is_shell(self):
        """Whether it holds commands, and not formulas, folders or output."""
        return self.language in ('sh', 'bash', 'console') or (
            not self.language and COMMAND.match(self.code)
        )


@dataclass(frozen=True)
class Command:
    """One command with all words expanded, without what it sets in the environment."""

    place: str
    words: tuple[str, ...]
    environment: tuple[str, ...] = ()

    def __str__(self):
        return ' '.join(self.words)


def text_of(page):
    return (ROOT / page).read_text('utf-8')


def blocks_in(text, page='page'):
    return [
        Block(page, text.count('\n', 0, match.start()) + 1, match[2].strip(), match[3])
        for match in FENCE.finditer(text)
    ]


@cache
def blocks_of(page):
    return blocks_in(text_of(page), page)


def python_blocks(page):
    return [block.code for block in blocks_of(page) if block.language == 'python']


def written_out(code):
    """The commands that a line of usage stands for: `[--a x|y]` is `--a x`, and `--a y`."""
    code = re.sub(r'(?<=[A-Z])\.\.\.', '', re.sub(r' \.\.\.(?= )', ' CONFIG', code))
    parts = re.split(r'\[(--[^\]\n]*)\]', code)
    choices = []
    for number, part in enumerate(parts):
        option, _, values = part.partition(' ')
        alternatives = values.split('|') if number % 2 else [None]
        choices.append([f'{option} {value}' if value else part for value in alternatives])
    return {''.join(choice) for choice in itertools.product(*choices)}


@cache
def commands_in(code, place='page'):
    """The commands of a piece of shell code, in their order; none of them is run."""
    found = {}
    for text in sorted(written_out(code)):
        shell = [shutil.which('bash'), '--noprofile', '--norc', '-c', LISTING + text]
        answer = subprocess.run(
            shell, capture_output=True, text=True, env={'PATH': '', 'VIRTUAL_ENV': '/a/venv'}
        )
        assert not answer.stderr, f'{place} is not what bash understands: {answer.stderr}'
        for command in answer.stdout.split('\036')[:-1]:
            words = command.split('\037')[:-1]
            start = next((i for i, w in enumerate(words) if not re.match(r'\w+=', w)), len(words))
            assert start < len(words), f'{place} sets variables only: {words}'
            found[Command(place, tuple(words[start:]), tuple(words[:start]))] = None
    return list(found)


@cache
def commands_of(page):
    """All commands of a page, those in blocks first, then those in sentences."""
    found = []
    for block in blocks_of(page):
        if block.is_shell:
            found += commands_in(block.code, block.place)
    for _, span in SPAN.findall(FENCE.sub('', text_of(page))):
        if COMMAND.match(span):
            found += commands_in(span, page)
    return found
