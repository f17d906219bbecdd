import numpy as np
import pytest

from mmdet_alrp.segmentation.datasets import JudgeAtInputSize


def test_the_size_to_judge_at_is_that_of_the_image_as_it_is():
    results = {'img': np.zeros((4, 6, 3)), 'gt_seg_map': np.zeros((4, 6)), 'ori_shape': (40, 60)}
    assert JudgeAtInputSize()(results)['ori_shape'] == (4, 6)


@pytest.mark.parametrize(
    ('mask', 'found'), [({}, 'no mask'), ({'gt_seg_map': np.zeros((40, 60))}, 'a mask of 60x40')]
)
def test_a_mask_that_did_not_change_with_the_image_is_refused(mask, found):
    with pytest.raises(ValueError, match=f'the image is 6x4 and has {found}; load the mask before'):
        JudgeAtInputSize()({'img': np.zeros((4, 6, 3)), **mask})
