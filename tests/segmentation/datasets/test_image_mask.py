import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS

from mmdet_alrp.datasets.shape_outlines import CLASS_OUTLINES, PALETTE
from mmdet_alrp.segmentation.datasets import (
    CamVidDataset,
    ImageMaskError,
    LoadSaliencyMask,
    SaliencyDataset,
    ShapesSemanticDataset,
)

PREFIX = {'img_path': 'images', 'seg_map_path': 'masks'}


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def folders(tmp_path):
    for name in ('b.jpg', 'a.png', 'sub/c.JPG'):
        write(tmp_path / 'images' / name.lower(), np.zeros((4, 6, 3), np.uint8))
    for name in ('a.bmp', 'b.png', 'sub/c.png', 'unused.png'):
        write(tmp_path / 'masks' / name, np.zeros((4, 6), np.uint8))
    (tmp_path / 'images' / 'notes.txt').write_text('no image')
    return tmp_path


def test_images_and_masks_of_any_suffix_are_paired_by_their_names(folders):
    dataset = SaliencyDataset(data_root=str(folders), data_prefix=PREFIX)
    pairs = [
        (info['img_path'], info['seg_map_path']) for info in map(dataset.get_data_info, range(3))
    ]
    expected = [('a.png', 'a.bmp'), ('b.jpg', 'b.png'), ('sub/c.jpg', 'sub/c.png')]
    assert pairs == [
        (str(folders / 'images' / image), str(folders / 'masks' / mask)) for image, mask in expected
    ]
    info = dataset.get_data_info(0)
    assert info['label_map'] is None and info['reduce_zero_label'] is False
    assert info['seg_fields'] == []


def test_image_without_mask_is_named_in_one_line(folders):
    (folders / 'masks' / 'b.png').unlink()
    with pytest.raises(ImageMaskError, match=r'1 of 3 images in .*images have no mask .*: b\.jpg$'):
        SaliencyDataset(data_root=str(folders), data_prefix=PREFIX)


def test_masks_among_the_images_need_suffixes(tmp_path):
    for name in ('a.jpg', 'a.png'):
        write(tmp_path / 'all' / name, np.zeros((4, 6), np.uint8))
    prefix = {'img_path': 'all', 'seg_map_path': 'all'}
    with pytest.raises(ImageMaskError, match='say which with img_suffix'):
        SaliencyDataset(data_root=str(tmp_path), data_prefix=prefix)
    dataset = SaliencyDataset(
        data_root=str(tmp_path), data_prefix=prefix, img_suffix='.jpg', seg_map_suffix='.png'
    )
    info = dataset.get_data_info(0)
    assert (info['img_path'][-5:], info['seg_map_path'][-5:]) == ('a.jpg', 'a.png')


def test_list_of_names_chooses_and_orders(folders):
    (folders / 'list.txt').write_text('sub/c\na\n')
    dataset = SaliencyDataset(data_root=str(folders), data_prefix=PREFIX, ann_file='list.txt')
    names = [dataset.get_data_info(index)['img_path'][-5:] for index in range(len(dataset))]
    assert names == ['c.jpg', 'a.png']
    (folders / 'list.txt').write_text('a\ngone\n')
    with pytest.raises(ImageMaskError, match=r'1 of 2 names in .* have no image in .*: gone'):
        SaliencyDataset(data_root=str(folders), data_prefix=PREFIX, ann_file='list.txt')


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(ImageMaskError, match=r'there is no folder .*images'):
        SaliencyDataset(data_root=str(tmp_path), data_prefix=PREFIX)
    (tmp_path / 'images').mkdir()
    with pytest.raises(ImageMaskError, match='holds no image'):
        SaliencyDataset(data_root=str(tmp_path), data_prefix=PREFIX)


def test_some_of_the_classes_are_numbered_and_the_others_ignored(folders):
    dataset = ShapesSemanticDataset(
        data_root=str(folders), data_prefix=PREFIX, metainfo={'classes': ('star', 'ellipse')}
    )
    assert dataset.get_data_info(0)['label_map'] == {0: 255, 1: 1, 2: 255, 3: 255, 4: 0, 5: 255}
    assert dataset.metainfo['palette'] == [PALETTE['star'], PALETTE['ellipse']]
    with pytest.raises(ImageMaskError, match="has no class 'cube'"):
        ShapesSemanticDataset(
            data_root=str(folders), data_prefix=PREFIX, metainfo={'classes': ('cube',)}
        )


def test_classes_are_those_that_are_drawn():
    meta = ShapesSemanticDataset.METAINFO
    assert meta['classes'] == ('background', *CLASS_OUTLINES)
    assert meta['palette'][1:] == [PALETTE[name] for name in CLASS_OUTLINES]


GREY = np.array([[0, 128, 129, 255]], np.uint8)


@pytest.mark.parametrize(
    'pixels',
    [
        GREY,
        np.repeat(GREY[..., None], 3, -1),
        np.concatenate([np.repeat(GREY[..., None], 3, -1), np.full((1, 4, 1), 9, np.uint8)], -1),
    ],
    ids=['grey', 'rgb', 'rgba'],
)
def test_mask_is_one_where_it_is_bright(tmp_path, pixels):
    write(tmp_path / 'mask.png', pixels)
    results = LoadSaliencyMask()({'seg_map_path': str(tmp_path / 'mask.png'), 'seg_fields': []})
    assert results['gt_seg_map'].tolist() == [[0, 0, 1, 1]]
    assert results['gt_seg_map'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map']


def test_mask_of_labels_or_of_another_size_is_refused(tmp_path):
    write(tmp_path / 'mask.png', np.array([[0, 1, 1]], np.uint8))
    path = str(tmp_path / 'mask.png')
    with pytest.raises(ImageMaskError, match='holds nothing brighter than 1'):
        LoadSaliencyMask()({'seg_map_path': path})
    assert LoadSaliencyMask(1)({'seg_map_path': path})['gt_seg_map'].sum() == 2
    with pytest.raises(ImageMaskError, match='is 3x1, its image 4x2'):
        LoadSaliencyMask(1)({'seg_map_path': path, 'ori_shape': (2, 4)})


def test_camvid_is_read_with_its_eleven_classes(shared_data):
    root = shared_data / 'camvid'
    counts = {}
    for split in ('train', 'val'):
        prefix = {'img_path': f'images/{split}', 'seg_map_path': f'masks/{split}'}
        dataset = DATASETS.build(
            {'type': 'CamVidDataset', 'data_root': str(root), 'data_prefix': prefix}
        )
        assert isinstance(dataset, CamVidDataset)
        counts[split] = len(dataset)
    assert counts == {'train': 367, 'val': 101}
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11
    # what the numbers mean: sky is above road, and brighter than trees
    heights, greys = {'sky': [], 'road': [], 'tree': []}, {'sky': [], 'tree': []}
    for index in range(0, len(dataset), 10):
        info = dataset.get_data_info(index)
        image = cv2.imread(info['img_path']).mean(2)
        mask = cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED)
        assert mask.shape == image.shape
        assert set(np.unique(mask)) <= {*range(11), 255}
        for name in heights:
            of_class = mask == dataset.metainfo['classes'].index(name)
            heights[name].append(np.nonzero(of_class)[0].mean())
            if name in greys:
                greys[name].append(image[of_class].mean())
    assert np.nanmean(heights['sky']) < 60 < 120 < np.nanmean(heights['road'])
    assert np.nanmean(greys['sky']) > np.nanmean(greys['tree']) + 60
