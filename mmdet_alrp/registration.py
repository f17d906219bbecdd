"""Every registered name of this package, and how MMEngine's registries learn of it.

The names go into MMEngine's root registries, where MMDetection, MMSegmentation and every other tool
box look when they do not know a name themselves. Importing all parts would take seconds and needs
the whole stack, so a stand-in is registered for each name. It imports its part when it is first
built. Then the part takes its place (`force=True`), or registers with MMDetection's registry or
MMSegmentation's, which are asked first.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmdet_alrp.compatibility import find_version, is_importable, refuse_misfits

DETECTION = ('mmengine', 'mmcv', 'mmdet')
# Registry and module of each part, what must be installed for it, and its registered names
PARTS = (
    (
        'MODELS',
        'mmdet_alrp.models',
        DETECTION,
        'ALRPLoss aLRPLoss APLoss NDCGLoss RankSortLoss RSLoss RankingATSSHead '
        'RankingConditionalDETRHead RankingDABDETRHead RankingDINOHead RankingDeformableDETRHead '
        'RankingFCNMaskHead RankingFCOSHead RankingFoveaHead RankingGFLHead RankingPAAHead '
        'RankingRPNHead RankingRTMDetHead RankingRTMDetSepBNHead RankingRetinaHead '
        'RankingShared2FCBBoxHead RankingStandardRoIHead RetinaATSSHead',
    ),
    ('DATASETS', 'mmdet_alrp.datasets.shapes', DETECTION, 'ShapesDataset'),
    ('METRICS', 'mmdet_alrp.evaluation.coco_lrp_metric', DETECTION, 'CocoLRPMetric'),
    (
        'HOOKS',
        'mmdet_alrp.engine.hooks',
        DETECTION,
        'BatchCheckHook ChannelsLastHook FiniteLossHook GradientBalanceHook SafeCheckpointHook '
        'SelfBalanceHook',
    ),
    ('HOOKS', 'mmdet_alrp.engine.score_calibration', DETECTION, 'ScoreCalibrationHook'),
    ('HOOKS', 'mmdet_alrp.engine.score_thresholds', DETECTION, 'ScoreThresholdHook'),
    ('OPTIM_WRAPPERS', 'mmdet_alrp.engine.bfloat16', ('mmengine',), 'BFloat16OptimWrapper'),
    (
        'MODELS',
        'mmdet_alrp.segmentation.losses',
        ('mmengine',),
        'AutoSegLoss FLoss FMeasureLoss LovaszHingeLoss LovaszSoftmaxLoss StructureLoss',
    ),
    (
        'METRICS',
        'mmdet_alrp.segmentation.evaluation',
        ('mmengine',),
        'BoundaryMetric RegionMetric SODMetric',
    ),
    (
        'DATASETS',
        'mmdet_alrp.segmentation.datasets',
        ('mmengine', 'mmcv'),
        'CamVidDataset SaliencyDataset ShapesSemanticDataset',
    ),
    (
        'TRANSFORMS',
        'mmdet_alrp.segmentation.datasets',
        ('mmengine', 'mmcv'),
        'JudgeAtInputSize LoadSaliencyMask PackSaliencyInputs',
    ),
    ('FUNCTIONS', 'mmdet_alrp.segmentation.datasets', ('mmengine', 'mmcv'), 'multi_size_collate'),
    (
        'HOOKS',
        'mmdet_alrp.segmentation.datasets.mask_check_hook',
        ('mmengine', 'mmcv'),
        'MaskCheckHook',
    ),
    (
        'MODELS',
        'mmdet_alrp.segmentation.decode_heads',
        ('mmengine', 'mmcv', 'mmseg'),
        'F3Head',
    ),
)
# Names that papers or their code use
PUBLISHED_NAMES = {'aLRPLoss': 'ALRPLoss', 'RSLoss': 'RankSortLoss', 'FLoss': 'FMeasureLoss'}


class StandIn:
    """Placeholder of a part in a registry; imports the part when it is first called.

    Args:
        module: Where the part is.
        name: Name under which it is registered.
        needed: Modules of the stack that it needs.
    """

    def __init__(self, module: str, name: str, needed: tuple[str, ...]) -> None:
        self.module = module
        self.needed = needed
        self.__name__ = self.__qualname__ = name

    def load(self) -> Any:
        """Return the part itself, a class or a function.

        Raises:
            ImportError: If something that it needs is missing or does not fit; one line for each.
        """
        refuse_misfits(*self.needed)
        name = PUBLISHED_NAMES.get(self.__name__, self.__name__)
        return getattr(import_module(self.module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Build the part, or call it if it is a function."""
        return self.load()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return what the part has by this name, such as ``METAINFO`` of a data set."""
        if name.startswith('_'):
            raise AttributeError(name)
        return getattr(self.load(), name)

    def __repr__(self) -> str:
        """Say where the part is."""
        return f'{self.__name__} of {self.module}, not imported yet'


def register_parts() -> None:
    """Register a stand-in for each part, under its names, in MMEngine's root registries.

    Nothing happens without MMEngine, or with one that cannot be imported: nobody can ask it for a
    part then. A name that somebody else has registered stays theirs.
    """
    if not is_importable('mmengine'):
        return
    try:
        registries = import_module('mmengine.registry')
    except Exception:  # whatever a broken MMEngine raises: what needs torch alone goes on working
        return
    for registry_name, module, needed, names in PARTS:
        registry = getattr(registries, registry_name)
        for name in names.split():
            if name not in registry.module_dict:
                registry.register_module(name=name, module=StandIn(module, name, needed))
    find_fork_of_mmseg()


def find_fork_of_mmseg() -> None:
    """Let `mmseg::` in configs find the fork of MMSegmentation, if that is the one installed.

    MMEngine's table leads from the module `mmseg` to the distribution `mmsegmentation`. The fork
    brings the same module under another name, for which MMEngine takes the module's own.
    """
    if find_version('mmseg')[0].startswith('onedl-'):
        import_module('mmengine.config.utils').MODULE2PACKAGE['mmseg'] = 'mmseg'
