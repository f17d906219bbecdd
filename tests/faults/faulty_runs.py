"""Pictures in memory, and training runs on them with faults on purpose."""

from uuid import uuid4

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch.utils.data import Dataset

SGD = {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9, 'weight_decay': 1e-3}
TRUTH = ([[8, 8, 40, 40], [20, 24, 60, 56]], [0, 3])


def scene(boxes=TRUTH[0], labels=TRUTH[1], side=64, seed=0, name='scene.png'):
    """A picture of noise with a truth: what a pipeline hands to the data loader."""
    generator = torch.Generator().manual_seed(seed)
    sample = DetDataSample(
        metainfo={
            'img_path': f'/pictures/{name}',
            'img_id': seed,
            'img_shape': (side, side),
            'ori_shape': (side, side),
            'pad_shape': (side, side),
            'scale_factor': (1.0, 1.0),
        }
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.as_tensor(labels, dtype=torch.long),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    image = torch.randint(0, 255, (3, side, side), generator=generator, dtype=torch.uint8)
    return {'inputs': image, 'data_samples': sample}


class Scenes(Dataset):
    def __init__(self, scenes):
        self.metainfo = {'classes': tuple('abcde')}
        self.scenes = scenes

    def __len__(self):
        return len(self.scenes)

    def __getitem__(self, index):
        return self.scenes[index]


def scenes(count, **changes):
    return [scene(seed=seed, name=f'{seed}.png', **changes) for seed in range(count)]


class Poison(Hook):
    """Adds a value to the output of a layer in chosen iterations."""

    priority = 'VERY_HIGH'

    def __init__(self, layer, value, iterations):
        self.layer, self.value, self.iterations = layer, value, iterations
        self.at_work = False

    def before_train(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        model.get_submodule(self.layer).register_forward_hook(self.add)

    def add(self, module, args, output):
        return output + self.value if self.at_work else output

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.at_work = runner.iter in self.iterations


class Diary(Hook):
    """Copies weights, buffers and the optimiser's state before the first step and after each."""

    priority = 'LOW'

    def __init__(self):
        self.pages = []
        self.losses = []

    def before_train(self, runner):
        self.write(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.write(runner)
        self.losses.append({name: value.item() for name, value in outputs.items()})

    def write(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        momentum = runner.optim_wrapper.optimizer.state_dict()['state']
        momentum = {
            (index, name): value.clone()
            for index, state in momentum.items()
            for name, value in state.items()
            if value is not None
        }
        self.pages.append((weights, momentum))

    def same(self, page, other):
        """Whether nothing changed between two pages, bit for bit."""
        return all(
            first.keys() == second.keys()
            and all(torch.equal(first[name], second[name]) for name in first)
            for first, second in zip(self.pages[page], self.pages[other], strict=True)
        )

    def is_finite(self, page=-1):
        return all(value.isfinite().all() for part in self.pages[page] for value in part.values())


def build_runner(work_dir, model, data, hooks=(), epochs=1, batch_size=2, **changes):
    """A runner over scenes in their order; it saves a checkpoint after each epoch."""
    config = {
        'model': ConfigDict(model),
        'work_dir': str(work_dir),
        'train_dataloader': {
            'dataset': Scenes(data),
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'batch_size': batch_size,
            'num_workers': 0,
        },
        'train_cfg': {'by_epoch': True, 'max_epochs': epochs},
        'optim_wrapper': {'type': 'OptimWrapper', 'optimizer': SGD},
        'default_hooks': {'checkpoint': {'type': 'SafeCheckpointHook', 'interval': 1}},
        'custom_hooks': list(hooks),
        'default_scope': 'mmdet',
        'experiment_name': uuid4().hex,
        'log_level': 'WARNING',
        'randomness': {'seed': 0},
        **changes,
    }
    cfg = Config(config.pop('cfg', {}))
    return Runner(**config, cfg=cfg)
