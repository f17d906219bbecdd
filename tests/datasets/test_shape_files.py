import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope
from pycocotools.coco import COCO

from mmdet_alrp.datasets import ShapesDataset, ShapesOptions, write_shapes


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(folder, ShapesOptions(train=12, val=4, width=96, height=80, seed=2))
    return folder


def test_boxes_and_areas_are_those_of_the_masks(root):
    coco = COCO(str(root / 'train.json'))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len({annotation['id'] for annotation in annotations}) == len(annotations) > 12
    for annotation in annotations:
        mask = coco.annToMask(annotation)
        assert mask.shape == (80, 96)
        assert mask.sum() == annotation['area']
        x, y, width, height = (int(value) for value in annotation['bbox'])
        inside = mask[y : y + height, x : x + width]
        assert inside.sum() == mask.sum()
        assert inside[0].any() and inside[-1].any()
        assert inside[:, 0].any() and inside[:, -1].any()


def test_masks_of_an_image_do_not_overlap(root):
    coco = COCO(str(root / 'train.json'))
    for image_id in coco.getImgIds():
        masks = [coco.annToMask(found) for found in coco.loadAnns(coco.getAnnIds(image_id))]
        assert np.sum(masks, axis=0).max() == 1


def test_files_are_images_of_the_size_recorded(root):
    coco = COCO(str(root / 'val.json'))
    for image in coco.loadImgs(coco.getImgIds()):
        assert cv2.imread(str(root / 'val' / image['file_name'])).shape == (80, 96, 3)


def test_registered_data_set_yields_boxes_labels_and_masks(root):
    init_default_scope('mmdet')
    dataset = DATASETS.build(
        {
            'type': 'ShapesDataset',
            'data_root': str(root),
            'ann_file': 'train.json',
            'data_prefix': {'img': 'train/'},
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
                {'type': 'PackDetInputs'},
            ],
        }
    )
    assert isinstance(dataset, ShapesDataset)
    assert len(dataset.metainfo['palette']) == len(dataset.metainfo['classes']) == 5
    coco = COCO(str(root / 'train.json'))
    for index in range(len(dataset)):
        sample = dataset[index]
        assert tuple(sample['inputs'].shape) == (3, 80, 96)
        objects = sample['data_samples'].gt_instances
        expected = coco.loadAnns(coco.getAnnIds(sample['data_samples'].img_id))
        assert [label + 1 for label in objects.labels.tolist()] == [
            annotation['category_id'] for annotation in expected
        ]
        assert objects.masks.masks.sum() == sum(annotation['area'] for annotation in expected)
