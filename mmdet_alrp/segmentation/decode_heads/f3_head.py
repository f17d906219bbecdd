"""The head of F3Net, all outputs of which are supervised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

_INIT = (
    {'type': 'Kaiming', 'layer': 'Conv2d', 'mode': 'fan_in', 'distribution': 'normal'},
    {'type': 'Constant', 'layer': '_BatchNorm', 'val': 1},
)


class CrossFeatureModule(nn.Module):
    """Lets two levels of a pyramid select from each other, by their product.

    Args:
        channels: Channels of both levels and of the results.
        norm_cfg: Normalisation behind each convolution.
        act_cfg: Activation behind each normalisation.

    Reference:
        Wei et al., AAAI 2020, arXiv:1911.11445, Eq. 1-2.
    """

    def __init__(self, channels: int, norm_cfg: dict | None, act_cfg: dict | None) -> None:
        super().__init__()
        self.low, self.high = (
            nn.ModuleList(
                ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
                for _ in range(4)
            )
            for _ in range(2)
        )

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Refine both levels.

        Args:
            low: The finer level, shape (N, channels, H, W).
            high: The coarser one, brought to the size of ``low``.

        Returns:
            Both, of the shape of ``low``.
        """
        high = resize(high, low.shape[2:], mode='bilinear', align_corners=False)
        low, high = self.low[0](low), self.high[0](high)
        common = self.low[1](low) * self.high[1](high)
        low, high = (
            branch[3](branch[2](common) + level)
            for branch, level in ((self.low, low), (self.high, high))
        )
        return low, high


class CascadedDecoder(nn.Module):
    """One pass from the coarsest level to the finest.

    Args:
        levels: How many levels there are.
        channels: Channels of each.
        norm_cfg: As :class:`CrossFeatureModule`.
        act_cfg: As :class:`CrossFeatureModule`.
    """

    def __init__(
        self, levels: int, channels: int, norm_cfg: dict | None, act_cfg: dict | None
    ) -> None:
        super().__init__()
        self.crossings = nn.ModuleList(
            CrossFeatureModule(channels, norm_cfg, act_cfg) for _ in range(levels - 1)
        )

    def forward(
        self, levels: Sequence[Tensor], feedback: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Refine all levels.

        Args:
            levels: Finest first, each of shape (N, channels, H, W).
            feedback: Result of an earlier pass, added to each level at its size.

        Returns:
            The levels, refined, and the result of the pass, as large as the finest.
        """
        if feedback is not None:
            levels = [
                level + resize(feedback, level.shape[2:], mode='bilinear', align_corners=False)
                for level in levels
            ]
        *finer, result = levels
        refined = [result]
        for crossing, level in zip(self.crossings, reversed(finer), strict=True):
            level, result = crossing(level, result)
            refined.insert(0, level)
        return refined, result


@MODELS.register_module()
class F3Head(BaseDecodeHead):
    """Two cascaded decoders, the second of which is fed with the result of the first.

    Trains with the results of both decoders and with the levels of the second, as a list that goes
    to each loss: first decoder, second decoder, then the levels, finest first. A loss of this
    package weighs them by its ``output_weight``. Predicts with the second decoder.

    Args:
        in_channels: Channels of the levels of a backbone, finest first.
        channels: Channels of all that the head computes.
        in_index: Which of the backbone's results are the levels; None is all.
        dropout_ratio: As MMSegmentation's heads.
        init_cfg: As MMSegmentation's heads; None is as published.
        **kwargs: ``num_classes``, ``out_channels``, ``threshold``, ``norm_cfg``, ``act_cfg``,
            ``loss_decode``, ``ignore_index`` and ``align_corners``, as MMSegmentation's heads.

    Raises:
        ValueError: If a sampler of pixels is given, which would have to choose for each output.

    Reference:
        Wei et al., AAAI 2020, arXiv:1911.11445, Sec. 3.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 64,
        in_index: Sequence[int] | None = None,
        dropout_ratio: float = 0.0,
        init_cfg: dict | list[dict] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            list(in_channels),
            channels,
            in_index=list(range(len(in_channels)) if in_index is None else in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            init_cfg=list(_INIT) if init_cfg is None else init_cfg,
            **kwargs,
        )
        if self.sampler is not None:
            raise ValueError('F3Head takes no sampler: each of its outputs sees all pixels')
        layers = {'norm_cfg': self.norm_cfg, 'act_cfg': self.act_cfg}
        self.squeezes = nn.ModuleList(
            ConvModule(count, channels, 1, **layers) for count in in_channels
        )
        self.first = CascadedDecoder(len(in_channels), channels, **layers)
        self.second = CascadedDecoder(len(in_channels), channels, **layers)
        # Of the first decoder and of the levels; that of the second is the parent's layer.
        self.side_convs = nn.ModuleList(self._classifier() for _ in range(1 + len(in_channels)))
        self.conv_seg = self._classifier()

    def _classifier(self) -> nn.Conv2d:
        return nn.Conv2d(self.channels, self.out_channels, 3, padding=1)

    def outputs(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits of all outputs, each of the size of its level.

        Args:
            inputs: Results of the backbone.
        """
        inputs = self._transform_inputs(inputs)
        levels = [squeeze(level) for squeeze, level in zip(self.squeezes, inputs, strict=True)]
        levels, first = self.first(levels)
        levels, second = self.second(levels, first)
        of_first, *of_levels = self.side_convs
        sides = [conv(level) for conv, level in zip(of_levels, levels, strict=True)]
        return [of_first(first), self.cls_seg(second), *sides]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logits of the second decoder.

        Args:
            inputs: Results of the backbone, one a level.
        """
        return self.outputs(inputs)[1]

    def loss(
        self, inputs: Sequence[Tensor], batch_data_samples: list[SegDataSample], train_cfg: dict
    ) -> dict[str, Tensor]:
        """Return the losses of all outputs.

        Args:
            inputs: Results of the backbone, one a level.
            batch_data_samples: Samples with ``gt_sem_seg``, labels or masks between 0 and 1.
            train_cfg: Not needed.
        """
        return self.loss_by_feat(self.outputs(inputs), batch_data_samples)

    def loss_by_feat(
        self, seg_logits: Sequence[Tensor], batch_data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Return the losses of a list of outputs, brought to the size of the masks.

        Args:
            seg_logits: Logits of all outputs, each of the size of its level.
            batch_data_samples: Samples with ``gt_sem_seg``, labels or masks between 0 and 1.
        """
        masks = self._stack_batch_gt(batch_data_samples)
        outputs = [
            resize(logits, masks.shape[2:], mode='bilinear', align_corners=self.align_corners)
            for logits in seg_logits
        ]
        several = isinstance(self.loss_decode, nn.ModuleList)
        entries: dict[str, Tensor] = {}
        for loss in self.loss_decode if several else [self.loss_decode]:
            value = loss(outputs, masks.squeeze(1), ignore_index=self.ignore_index)
            entries[loss.loss_name] = entries.get(loss.loss_name, 0) + value
        return entries
