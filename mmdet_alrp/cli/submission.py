"""Makes the zip file that COCO's evaluation server takes."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import zipfile
from pathlib import Path

from mmdet.datasets.api_wrappers import COCO
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.command_line import UsageError

from .input_checks import dataset_path
from .output_checks import check_place

MAX_DETECTIONS = 100  # an image; the server looks at no more
BOX_DECIMALS = 2
SCORE_DECIMALS = 6


class Submission:
    """A test run whose detections end in a zip file; works without annotations.

    Args:
        cfg: Config of the run. Its test evaluator is replaced by one that only collects
            detections, for the images of the test data set's own annotation file.
        path: The zip file.

    Raises:
        UsageError: If the path or the config's test data set is not fit for it.
    """

    def __init__(self, cfg: Config, path: str) -> None:
        if not path.endswith('.zip'):
            raise UsageError(f'--submission must name a .zip file, got {path}')
        check_place(path, '--submission')
        dataset = cfg.test_dataloader.dataset
        if not str(dataset.get('ann_file', '')).endswith('.json'):
            raise UsageError('--submission needs a test data set with a COCO json as ann_file')
        self.path = Path(path)
        self.ann_file = dataset_path(dataset, dataset.ann_file)
        self.folder = tempfile.TemporaryDirectory(prefix='submission-')
        prefix = os.path.join(self.folder.name, 'test')
        self.result_file = Path(f'{prefix}.bbox.json')
        cfg.test_evaluator = {
            'type': 'CocoMetric',
            'metric': 'bbox',
            'ann_file': self.ann_file,
            'format_only': True,
            'outfile_prefix': prefix,
        }
        split = re.sub(r'^(image_info|instances)_', '', Path(self.ann_file).stem)
        model = re.sub(r'[^A-Za-z0-9-]+', '-', Path(cfg.filename).stem)
        self.member = f'detections_{split}_{model}_results.json'

    def check_coverage(self, runner: Runner) -> None:
        """Check that the run will see every image of the annotation file.

        Args:
            runner: Runner of the test, with its data loader.

        Raises:
            UsageError: If the data set leaves images out.
        """
        expected = set(COCO(self.ann_file).get_img_ids())
        self.num_images = len(expected)
        dataset = runner.test_dataloader.dataset
        seen = {dataset.get_data_info(index)['img_id'] for index in range(len(dataset))}
        if expected != seen:
            raise UsageError(
                f'--submission must cover {self.ann_file}: {len(expected - seen)} of its '
                f'{len(expected)} images are left out by the test data set'
            )

    def write(self) -> str:
        """Write the zip file from what the run collected; only the first process does.

        Returns:
            One line on what was written; empty in the other processes.

        Raises:
            UsageError: If a detection is not finite, or the file cannot be written.
        """
        if not is_main_process():
            return ''
        found = json.loads(self.result_file.read_text())
        detections = _best([_entry(detection) for detection in found])
        content = json.dumps(detections, allow_nan=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with (
                atomic_write(self.path) as draft,
                zipfile.ZipFile(draft, 'w', zipfile.ZIP_DEFLATED) as archive,
            ):
                archive.writestr(self.member, content)
        except OSError as error:
            raise UsageError(f'{self.path} cannot be written: {error.strerror}') from None
        images = len({detection['image_id'] for detection in detections})
        return (
            f'{self.path}: {len(detections)} detections in {images} of {self.num_images} images '
            f'as {self.member}'
        )


def _entry(found: dict) -> dict:
    if not all(math.isfinite(value) for value in (*found['bbox'], found['score'])):
        raise UsageError(
            f'image {found["image_id"]}: the model found a box or score that is not finite; '
            'the server takes no such file'
        )
    return {
        'image_id': found['image_id'],
        'category_id': found['category_id'],
        'bbox': [round(value, BOX_DECIMALS) for value in found['bbox']],
        'score': round(found['score'], SCORE_DECIMALS),
    }


def _best(detections: list[dict]) -> list[dict]:
    """Return the best ``MAX_DETECTIONS`` of every image."""
    by_image: dict[int, list[dict]] = {}
    for found in detections:
        by_image.setdefault(found['image_id'], []).append(found)
    return [
        found
        for image_id in sorted(by_image)
        for found in sorted(by_image[image_id], key=lambda found: -found['score'])[:MAX_DETECTIONS]
    ]
