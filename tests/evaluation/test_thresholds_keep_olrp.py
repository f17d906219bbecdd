import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from scenes import coco_pair, random_scene
from torch import nn

from mmdet_alrp.engine.score_thresholds import filter_by_score
from mmdet_alrp.evaluation.lrp import evaluate_lrp


class Replay(nn.Module):
    """A detector that finds what a result file holds, one sample an image."""

    def __init__(self, scene):
        super().__init__()
        self.scene = scene
        self.names = [category['name'] for category in scene['categories']]
        self.cat_ids = [category['id'] for category in scene['categories']]

    def forward(self):
        samples = []
        for image in self.scene['images']:
            found = [d for d in self.scene['detections'] if d['image_id'] == image['id']]
            instances = InstanceData(
                scores=torch.tensor([d['score'] for d in found]),
                labels=torch.tensor([self.cat_ids.index(d['category_id']) for d in found]).long(),
                source=torch.arange(len(found)),
            )
            samples.append(DetDataSample(pred_instances=instances))
            samples[-1].found = found
        return samples


@pytest.mark.parametrize('seed', range(4))
def test_what_scores_below_the_optimal_thresholds_does_not_matter_to_olrp(seed):
    scene = random_scene(seed)
    for detection in scene['detections']:  # as a model in single precision gives them
        detection['score'] = float(np.float32(detection['score']))
    before = evaluate_lrp(*coco_pair(scene))
    thresholds = before.thresholds()
    assert None in thresholds.values() and any(thresholds.values())

    model = Replay(scene)
    filter_by_score(model, thresholds, model.names)
    kept = [s.found[i] for s in model() for i in s.pred_instances.source.tolist()]
    assert 0 < len(kept) < len(scene['detections'])
    after = evaluate_lrp(*coco_pair({**scene, 'detections': kept}))
    for one, other in zip(before.classes, after.classes, strict=True):
        first, second = (
            (c.best.olrp, c.best.loc, c.best.fp, c.best.fn, c.best.threshold) for c in (one, other)
        )
        np.testing.assert_allclose(first, second, rtol=1e-12)
    # one more step up and oLRP gets worse: the thresholds are not merely low enough
    higher = {name: np.nextafter(np.float32(t), 2) for name, t in thresholds.items() if t}
    model = Replay(scene)
    filter_by_score(model, {name: min(float(t), 1.0) for name, t in higher.items()}, model.names)
    fewer = [s.found[i] for s in model() for i in s.pred_instances.source.tolist()]
    worse = evaluate_lrp(*coco_pair({**scene, 'detections': fewer}))
    assert worse.summary()['oLRP'] > before.summary()['oLRP']
