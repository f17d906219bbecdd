"""The weights of the published models, written out layer by layer from their network definitions.

The definitions are those of the MMDetection 2 of summer 2020 (mmcv 0.6.2) that the aLRP paper's
authors extended: ResNet, FPN, and their heads. Nothing here knows what the converter does.
"""

import torch

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Layout:
    """Collects `key -> shape`."""

    def __init__(self):
        self.shapes = {}

    def conv(self, name, out, inputs, kernel, bias=True):
        self.shapes[f'{name}.weight'] = (out, inputs, kernel, kernel)
        if bias:
            self.shapes[f'{name}.bias'] = (out,)

    def linear(self, name, out, inputs):
        self.shapes[f'{name}.weight'] = (out, inputs)
        self.shapes[f'{name}.bias'] = (out,)

    def norm(self, name, channels):
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            self.shapes[f'{name}.{part}'] = (channels,)
        self.shapes[f'{name}.num_batches_tracked'] = ()

    def resnet(self, depth=50, width=64, groups=1, base_width=None, deformable=()):
        """backbone.conv1/bn1, then layer1..4 of bottlenecks; ResNeXt's middle part is wider."""
        self.conv('backbone.conv1', width, 3, 7, bias=False)
        self.norm('backbone.bn1', width)
        inputs = width
        for stage, blocks in enumerate(BLOCKS[depth]):
            planes = width * 2**stage
            middle = planes if base_width is None else planes * base_width // 64 * groups
            for block in range(blocks):
                name = f'backbone.layer{stage + 1}.{block}'
                self.conv(f'{name}.conv1', middle, inputs, 1, bias=False)
                self.conv(f'{name}.conv2', middle, middle // groups, 3, bias=False)
                if stage in deformable:  # modulated: two offsets and a mask a tap
                    self.conv(f'{name}.conv2.conv_offset', 3 * 3 * 3, middle, 3)
                self.conv(f'{name}.conv3', 4 * planes, middle, 1, bias=False)
                for index, channels in ((1, middle), (2, middle), (3, 4 * planes)):
                    self.norm(f'{name}.bn{index}', channels)
                if block == 0:
                    self.conv(f'{name}.downsample.0', 4 * planes, inputs, 1, bias=False)
                    self.norm(f'{name}.downsample.1', 4 * planes)
                inputs = 4 * planes
        return [4 * width * 2**stage for stage in range(4)]

    def fpn(self, inputs, channels, extra_inputs=()):
        """A lateral 1x1 and a 3x3 a level; extra levels are 3x3 of stride 2."""
        for level, width in enumerate(inputs):
            self.conv(f'neck.lateral_convs.{level}.conv', channels, width, 1)
            self.conv(f'neck.fpn_convs.{level}.conv', channels, channels, 3)
        for level, width in enumerate(extra_inputs, start=len(inputs)):
            self.conv(f'neck.fpn_convs.{level}.conv', channels, width, 3)

    def group_normed(self, name, out, inputs, kernel):
        self.conv(f'{name}.conv', out, inputs, kernel, bias=False)
        self.shapes[f'{name}.gn.weight'] = self.shapes[f'{name}.gn.bias'] = (out,)

    def towers(self, channels, stacked):
        for branch in ('cls', 'reg'):
            for index in range(stacked):
                self.conv(f'bbox_head.{branch}_convs.{index}.conv', channels, channels, 3)


def retinanet(anchors, classes=80, channels=256, stacked=4, **backbone):
    layout = Layout()
    stages = layout.resnet(**backbone)
    layout.fpn(stages[1:], channels, extra_inputs=(stages[3], channels))
    layout.towers(channels, stacked)
    layout.conv('bbox_head.retina_cls', anchors * classes, channels, 3)
    layout.conv('bbox_head.retina_reg', anchors * 4, channels, 3)
    return layout.shapes


def foveabox(classes=80, channels=256, stacked=4, deform=False, **backbone):
    layout = Layout()
    stages = layout.resnet(**backbone)
    layout.fpn(stages[1:], channels, extra_inputs=(stages[3], channels))
    wide = channels
    if deform:  # the form with aligned features comes with group normalisation
        wide = 4 * channels
        for index in range(stacked):
            layout.group_normed(f'bbox_head.reg_convs.{index}', channels, channels, 3)
        layout.group_normed('bbox_head.cls_convs.0', wide, channels, 3)
        layout.group_normed('bbox_head.cls_convs.1', wide, wide, 1)
        layout.conv('bbox_head.feature_adaption.conv_offset', 4 * 2 * 9, 4, 1, bias=False)
        layout.conv('bbox_head.feature_adaption.conv_adaption', channels, channels, 3, bias=False)
    else:
        layout.towers(channels, stacked)
    layout.conv('bbox_head.fovea_cls', classes, wide, 3)
    layout.conv('bbox_head.fovea_reg', 4, channels, 3)
    return layout.shapes


def faster_rcnn(classes=80, channels=256, hidden=1024, softmax=False, **backbone):
    """`softmax`: the cross entropy baseline, whose classifier has a background row, the last."""
    layout = Layout()
    layout.fpn(layout.resnet(**backbone), channels)
    layout.conv('rpn_head.rpn_conv', channels, channels, 3)
    layout.conv('rpn_head.rpn_cls', 3, channels, 1)  # 3 ratios, sigmoid: one channel each
    layout.conv('rpn_head.rpn_reg', 3 * 4, channels, 1)
    layout.linear('roi_head.bbox_head.shared_fcs.0', hidden, channels * 7 * 7)
    layout.linear('roi_head.bbox_head.shared_fcs.1', hidden, hidden)
    layout.linear('roi_head.bbox_head.fc_cls', classes + softmax, hidden)
    layout.linear('roi_head.bbox_head.fc_reg', classes * 4, hidden)
    return layout.shapes


def random_weights(shapes, seed=0):
    """Distinct values, so that a weight that went astray is found out."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(shape, generator=generator) if shape else torch.tensor(100)
        for key, shape in shapes.items()
    }


def meta_weights(shapes):
    """Shapes of full-size models without their memory."""
    return {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}


def published(weights, classes=('person',) * 80, version='2.2.0+unknown'):
    """A checkpoint as mmcv 0.6 wrote it at the end of an epoch."""
    return {
        'meta': {
            'epoch': 100,
            'iter': 366500,
            'mmdet_version': version,
            'config': "model = dict(type='RetinaNet')\n",
            'CLASSES': classes,
            'time': 'Sat Nov 21 11:22:33 2020',
        },
        'state_dict': weights,
        'optimizer': {'state': {0: {'momentum_buffer': torch.ones(3)}}, 'param_groups': []},
    }
