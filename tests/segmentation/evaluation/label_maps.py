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
