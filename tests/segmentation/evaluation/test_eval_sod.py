import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdet_alrp.segmentation.evaluation import (
    average_scores,
    load_curves,
    saliency_metrics,
    saliency_scores,
)

pytest.importorskip('py_sod_metrics')
TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'eval_sod.py'
SPEC = importlib.util.spec_from_file_location('eval_sod', TOOL)
eval_sod = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(eval_sod)


@pytest.fixture
def folders(tmp_path):
    generator = np.random.default_rng(0)
    for name in ('masks', 'soft', 'hard'):
        (tmp_path / name).mkdir()
    for index in range(3):
        mask = np.zeros((30, 40), np.uint8)
        mask[5 : 15 + index, 8:25] = 255
        soft = cv2.blur(mask, (7, 7)) // 2 + generator.integers(0, 60, mask.shape, np.uint8)
        hard = np.roll(mask, 3, 1)
        for name, image in (('masks', mask), ('soft', soft), ('hard', hard)):
            cv2.imwrite(str(tmp_path / name / f'{index}.png'), image)
    cv2.imwrite(str(tmp_path / 'hard' / 'other.png'), hard)
    return tmp_path


def expected(folder, name, **options):
    scores = []
    for index in range(3):
        mask, grey = (
            cv2.imread(str(folder / part / f'{index}.png'), cv2.IMREAD_GRAYSCALE)
            for part in ('masks', name)
        )
        scores.append(saliency_scores(grey / 255, mask > 128, **options))
    return saliency_metrics(average_scores(scores))


def run(*arguments):
    return eval_sod.main([str(argument) for argument in arguments])


def test_figures_and_curves_of_two_methods(folders, capsys):
    out = folders / 'made' / 'out.json'
    methods = [f'{name}={folders / name}' for name in ('soft', 'hard')]
    assert run(folders / 'masks', *methods, '--json', out, '--curves', folders / 'curves') == 0
    figures = json.loads(out.read_text())
    assert figures == {name: expected(folders, name) for name in ('soft', 'hard')}
    assert [file.name for file in out.parent.iterdir()] == ['out.json']
    printed = capsys.readouterr().out
    assert f'{figures["soft"]["maxF"]:.4f}' in printed and '3 images' in printed
    curves = load_curves(folders / 'curves' / 'curves.json')
    assert {name: max(values['F']) for name, values in curves.items()} == {
        name: values['maxF'] for name, values in figures.items()
    }
    names = sorted(file.name for file in (folders / 'curves').iterdir())
    assert names == ['curves.json', 'f_threshold.png', 'pr_curve.png']


def test_options(folders):
    out = folders / 'out.json'
    soft = f'soft={folders / "soft"}'
    assert run(folders / 'masks', soft, '--beta2', 1, '--no-stretch', '--json', out) == 0
    assert json.loads(out.read_text())['soft'] == expected(
        folders, 'soft', beta2=1.0, stretch=False
    )


def test_maps_of_another_size_are_resized_only_if_asked(folders, capsys):
    small = cv2.resize(cv2.imread(str(folders / 'hard' / '1.png')), (20, 15))
    cv2.imwrite(str(folders / 'hard' / '1.png'), small)
    hard = f'hard={folders / "hard"}'
    assert run(folders / 'masks', hard) == 2
    assert '1.png and its mask differ in size, (15, 20) and (30, 40)' in capsys.readouterr().err
    assert run(folders / 'masks', hard, '--resize') == 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent', 'a=soft'], 'absent is no folder'),
        (['empty', 'a=soft'], 'empty has no images'),
        (['masks', 'a=few'], 'few lacks 2 of 3 maps, first 0'),
        (['masks', 'a=broken'], '0.png is no image that can be read'),
        (['masks', 'a=soft', '--json', 'masks'], 'masks: '),
        (['labels', 'a=soft'], '0.png holds nothing brighter than 1: salient pixels must be above'),
        (['twice', 'a=soft'], 'twice has 0.bmp and 0.png: leave one out'),
    ],
)
def test_wrong_folders_end_in_one_line(folders, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    for name in ('empty', 'few', 'broken', 'labels', 'twice'):
        Path(name).mkdir()
    Path('few/1.png').write_bytes(Path('soft/1.png').read_bytes())
    for index in range(3):
        Path(f'broken/{index}.png').write_bytes(b'no image')
    cv2.imwrite('labels/0.png', np.eye(30, 40, dtype=np.uint8))
    for name in ('0.bmp', '0.png'):
        cv2.imwrite(f'twice/{name}', np.zeros((30, 40), np.uint8))
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['masks', 'soft'], 'must be NAME=FOLDER: soft'),
        (['masks', 'a=x', 'a=y'], 'different names: a a'),
        (['masks', 'a=x', '--beta2', '-1'], 'must be a positive number: -1'),
        ([], 'required: masks'),
    ],
)
def test_wrong_arguments_end_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error and error.count('\n') == 1
