"""The Python blocks of docs/losses.md run, in their order, as one program."""

import re
from pathlib import Path

import mmdet_alrp  # noqa: F401 - registers the losses that the blocks name

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'losses.md'


def test_code_of_the_losses_page_runs():
    blocks = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), 'exec'), names)
    assert 0 < names['loss'] < 1
    names['loss'].backward()
    grad = names['logits'].grad
    assert abs(grad.sum()) < 1e-6 < grad.abs().sum()


def test_losses_page_knows_every_keyword():
    import inspect

    from mmdet_alrp.models import ALRPLoss, APLoss, NDCGLoss, RankSortLoss

    text = PAGE.read_text()
    for loss in (ALRPLoss, APLoss, NDCGLoss, RankSortLoss):
        assert f'`{loss.__name__}`' in text
        for base in loss.__mro__:
            if not base.__module__.startswith('mmdet_alrp'):
                continue
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if name == 'self' or parameter.kind is parameter.VAR_KEYWORD:
                    continue
                assert f'`{name}`' in text or f'`{name}=' in text, name
