import pytest
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.registry import DATASETS

from mmdet_alrp.segmentation.search.holdout import HoldOutPart, hold_out, split_indices


class Numbers(BaseDataset):
    METAINFO = {'classes': ('a', 'b')}  # noqa: RUF012

    def load_data_list(self):
        return [{'number': number} for number in range(int(self.ann_file), int(self.ann_file) + 6)]


@pytest.fixture(autouse=True)
def registered():
    DATASETS.register_module(name='Numbers', module=Numbers)
    yield
    DATASETS.module_dict.pop('Numbers')


def test_parts_are_disjoint_complete_and_those_of_the_seed():
    parts = split_indices(50, count=8, seed=3)
    assert len(parts['holdout']) == 8
    assert sorted(parts['train'] + parts['holdout']) == list(range(50))
    assert parts == split_indices(50, count=8, seed=3)
    assert parts['holdout'] != split_indices(50, count=8, seed=4)['holdout']
    assert parts['holdout'] != list(range(8))


def test_share_is_rounded():
    assert len(split_indices(10, share=0.25)['holdout']) == 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'either count or share'),
        ({'count': 2, 'share': 0.5}, 'either count or share'),
        ({'count': 10}, 'leave images for both parts'),
        ({'count': 0}, 'leave images for both parts'),
        ({'share': 1.0}, 'between 0 and 1'),
        ({'share': 0.01}, 'leave images for both parts'),
        ({'count': 2, 'seed': -1}, 'seed'),
    ],
)
def test_splits_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        split_indices(10, **options)


def test_parts_of_concatenated_sets_have_own_transforms():
    sets = [{'type': 'Numbers', 'ann_file': start, 'pipeline': [{'type': 'no'}]} for start in '09']
    train, judged = hold_out(
        {'type': 'ConcatDataset', 'datasets': sets}, [], {'count': 4, 'seed': 0}
    )
    assert train.dataset.datasets[0].pipeline == [{'type': 'no'}]
    for entry in train.dataset.datasets:
        entry.pipeline = []
    parts = [DATASETS.build(part) for part in (train, judged)]
    assert all(isinstance(part, HoldOutPart) for part in parts)
    assert isinstance(parts[1].dataset, ConcatDataset)
    assert parts[1].dataset.datasets[1].test_mode and not parts[0].dataset.datasets[1].test_mode
    found = [[part[index]['number'] for index in range(len(part))] for part in parts]
    assert [len(numbers) for numbers in found] == [8, 4]
    assert sorted(found[0] + found[1]) == [*range(6), *range(9, 15)]
    assert parts[0].metainfo['classes'] == ('a', 'b')


def test_unknown_part_is_refused():
    with pytest.raises(ValueError, match='part must be one of train, holdout'):
        HoldOutPart({'type': 'Numbers', 'ann_file': '0'}, 'test', {'count': 2})
