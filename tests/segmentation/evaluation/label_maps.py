"""Label maps for the tests of the metrics, and samples as MMEngine hands them over."""

import cv2
import numpy as np
import torch


def random_maps(num_classes, size=(3, 40, 50), seed=0, ignored=0.05):
    """Blobs of classes, a prediction that is right for most of them, and some ignored pixels."""
    generator = np.random.default_rng(seed)
    fields = generator.random((size[0], num_classes, *size[1:])).astype(np.float32)
    fields = np.stack([[cv2.blur(field, (9, 9)) for field in image] for image in fields])
    noise = generator.random(fields.shape).astype(np.float32)
    noise = np.stack([[cv2.blur(field, (5, 5)) for field in image] for image in noise])
    target = fields.argmax(1)
    pred = (fields + 0.4 * noise).argmax(1)
    target[generator.random(target.shape) < ignored] = 255
    return torch.from_numpy(pred), torch.from_numpy(target)


def bordered_maps(num_classes, size=(3, 60, 70), seed=0, border=3):
    """Objects in ignored borders as in the masks of VOC; the prediction is not quite right."""
    generator = np.random.default_rng(seed)
    target = np.zeros(size, dtype=np.int64)
    pred = target.copy()
    kernel = np.ones((2 * border + 1, 2 * border + 1), dtype=np.uint8)
    for image in range(size[0]):
        for _ in range(4):
            label = int(generator.integers(1, num_classes))
            centre = [int(generator.integers(5, length - 5)) for length in size[:0:-1]]
            axes = [int(value) for value in generator.integers(8, 16, 2)]
            mask, found = np.zeros((2, *size[1:]), dtype=np.uint8)
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
            target[image][cv2.dilate(mask, kernel) > 0] = 255
            target[image][cv2.erode(mask, kernel) > 0] = label
            shifted = [int(value + generator.integers(-5, 6)) for value in centre]
            cv2.ellipse(found, shifted, axes, 0, 0, 360, 1, -1)
            pred[image][found > 0] = label
    target[:, -8:] = 255  # as where an image is padded
    return torch.from_numpy(pred), torch.from_numpy(target)


def samples_of(pred, target):
    """What MMSegmentation's data samples are once MMEngine's evaluator has unpacked them."""
    return [
        {'pred_sem_seg': {'data': p[None]}, 'gt_sem_seg': {'data': t[None]}, 'img_path': 'a.png'}
        for p, t in zip(pred, target, strict=True)
    ]


def camvid_maps(shared_data, count=4):
    """Real masks and the same shifted by some pixels, with a blot of another class in each."""
    files = sorted((shared_data / 'camvid' / 'masks' / 'val').glob('*.png'))[:count]
    target = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files])
    pred = np.roll(target, (2, -3), (1, 2))
    pred[pred == 255] = 0
    pred[:, 100:140, 200:260] = 3
    return torch.from_numpy(pred.astype(np.int64)), torch.from_numpy(target.astype(np.int64))
