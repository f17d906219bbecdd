"""The operators on torchvision give what compiled ones gave; tolerances are those of float32."""

import json
from pathlib import Path

import numpy as np
import operator_cases
import operator_models
import pytest

FOLDER = Path(__file__).resolve().parent
# Compiled operators add up in half precision, these in single.
TOLERANCES = {'align_half': {'rtol': 5e-3, 'atol': 5e-3}}


@pytest.fixture(scope='module')
def recorded():
    with np.load(FOLDER / 'compiled_operators.npz') as file:
        return dict(file)


@pytest.fixture(scope='module')
def recorded_models():
    return json.loads((FOLDER / 'compiled_models.json').read_text('utf-8'))


@pytest.mark.parametrize('name', operator_cases.CASES)
def test_operator_equals_the_compiled_one(recorded, name):
    found = operator_cases.run(name)
    expected = {key: value for key, value in recorded.items() if key.startswith(f'{name}.')}
    assert {f'{name}.{key}' for key in found} == set(expected)
    for key, value in found.items():
        wanted = expected[f'{name}.{key}']
        assert value.dtype == wanted.dtype and value.shape == wanted.shape, key
        if value.dtype == np.int64:
            np.testing.assert_array_equal(value, wanted, key)
            continue
        tolerance = TOLERANCES.get(name, {'rtol': 1e-5, 'atol': 2e-5})
        np.testing.assert_allclose(value, wanted, err_msg=key, **tolerance)


def by_label_and_place(model):
    rows = np.column_stack((model['labels'], model['detections']))
    order = np.lexsort(rows.T[:2][::-1].round(1))
    return rows[order], np.array(model['mask_pixels'])[order] if model['mask_pixels'] else []


@pytest.mark.parametrize('name', operator_models.NAMES)
def test_model_equals_the_compiled_one(recorded_models, name):
    found, expected = operator_models.run(name), recorded_models[name]
    assert found['losses'] == pytest.approx(expected['losses'], rel=1e-4)
    assert found['gradient'] == pytest.approx(expected['gradient'], rel=1e-3)
    (rows, masks), (wanted, wanted_masks) = map(by_label_and_place, (found, expected))
    np.testing.assert_allclose(rows, wanted, rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(masks, wanted_masks, atol=2)  # pixels on the edge of a mask
