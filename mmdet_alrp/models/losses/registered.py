"""The ranking criteria, registered as losses of MMDetection's heads.

Each takes the arguments of its criterion, without ``box_loss``, and ``use_sigmoid``.
"""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import nn

from mmdet_alrp.criteria import ALRPCriterion, APCriterion, NDCGCriterion, RankSortCriterion
from mmdet_alrp.criteria.box_losses import BOX_LOSS_RANGE

from .ranking_loss import BOX_LOSS_NAMES, RankingLoss


@MODELS.register_module(name=['ALRPLoss', 'aLRPLoss'])
class ALRPLoss(RankingLoss, ALRPCriterion):
    """Average Localisation-Recall-Precision Loss with self-balancing.

    Set it as the ``loss_cls`` of a ranking head. The head's ``loss_bbox`` gives the localisation
    errors and is one of IoULoss (linear), GIoULoss, DIoULoss and CIoULoss.

    Args:
        **kwargs: ``use_sigmoid``, which must be True in the config; ``delta``, half-width of the
            smoothed step in logits (1); ``tau``, IoU from which a box counts as a true positive
            (0.5); ``box_weight_exponent``, exponent of the weights that boxes get from their ranks
            (1 as published; 0 trains all boxes alike); ``self_balance``, whether the weight of the
            box loss follows the training (True);
            ``initial_ratio``, weight of the box loss in the first period (None is 50 with and 1
            without self-balancing); ``balance_every``, which sets the ratio every so many calls in
            training, without a hook; ``scope``, what is one ranking: 'process' (default), 'image'
            or 'global'; ``error_skew``, exponent of the error distribution (0 as published);
            ``loss_weight``, factor of both losses (1).

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592.
    """

    needs_boxes = True

    def check_box_loss(self, loss_bbox: nn.Module, decoded: bool) -> None:
        """Refuse a box loss that gives no localisation error, and learn the range of a good one.

        Args:
            loss_bbox: The head's box loss.
            decoded: Whether the head hands it boxes, and not the deltas of a box coder.

        Raises:
            ValueError: If it is not one of the known ones, not linear, not of weight 1 or not of
                decoded boxes.
        """
        name = type(loss_bbox).__name__
        if name not in BOX_LOSS_NAMES:
            raise ValueError(
                f'ALRPLoss needs a loss_bbox of {", ".join(BOX_LOSS_NAMES)} to measure '
                f'localisation, got {name}'
            )
        super().check_box_loss(loss_bbox, decoded)
        if getattr(loss_bbox, 'mode', 'linear') != 'linear':
            raise ValueError(
                f"ALRPLoss needs IoULoss(mode='linear') to measure localisation as 1 - IoU, "
                f'got mode={loss_bbox.mode!r}'
            )
        if loss_bbox.loss_weight != 1:
            raise ValueError(
                'loss_bbox of a head with ALRPLoss must have loss_weight=1.0 (its weight is the '
                f'self-balance ratio), got {loss_bbox.loss_weight}'
            )
        self._box_loss_range = BOX_LOSS_RANGE[BOX_LOSS_NAMES[name]]


@MODELS.register_module()
class APLoss(RankingLoss, APCriterion):
    """Average Precision Loss; the box loss, of any kind, is its mean over the positives.

    Args:
        **kwargs: ``use_sigmoid``, which must be True in the config; ``delta``, half-width of the
            smoothed step in logits (1); ``interpolated``, whether each positive takes the best
            precision among the positives scored at or below it (True, as published);
            ``self_balance``, whether a ratio that follows the training multiplies the box loss
            (False); ``initial_ratio``, weight of the box loss in the first period (None is 50 with
            and 1 without self-balancing); ``balance_every``, which sets the ratio every so many
            calls in training, without a hook; ``scope``, what is one ranking: 'process' (default),
            'image' or 'global'; ``error_skew``, exponent of the error distribution (0 as
            published); ``loss_weight``, factor of both losses (1).

    Reference:
        Chen et al., CVPR 2019, arXiv:1904.06373.
    """


@MODELS.register_module()
class NDCGLoss(RankingLoss, NDCGCriterion):
    """Normalised Discounted Cumulative Gain Loss; the box loss is its mean over the positives.

    Args:
        **kwargs: ``use_sigmoid``, which must be True in the config; ``delta``, half-width of the
            smoothed step in logits (1); ``self_balance``, whether a ratio that follows the training
            multiplies the box loss (False); ``initial_ratio``, weight of the box loss in the first
            period (None is 50 with and 1 without self-balancing); ``balance_every``, which sets the
            ratio every so many calls in training, without a hook; ``scope``, what is one ranking:
            'process' (default), 'image' or 'global'; ``error_skew``, exponent of the error
            distribution (0 as published); ``loss_weight``, factor of both losses (1).

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Appendix on ranking measures.
    """


@MODELS.register_module(name=['RankSortLoss', 'RSLoss'])
class RankSortLoss(RankingLoss, RankSortCriterion):
    """Rank & Sort Loss: positives above negatives, and among positives by the IoU of their boxes.

    Args:
        **kwargs: ``use_sigmoid``, which must be True in the config; ``delta``, half-width of the
            smoothed step in logits (0.5); ``score_weighted_boxes``, whether boxes are weighed by
            their scores (True, as published); ``scope``, what is one ranking: 'process' (default),
            'image' or 'global'; ``error_skew``, exponent of the error distribution (0 as
            published); ``loss_weight``, factor of both losses (1).

    Reference:
        Oksuz et al., ICCV 2021, arXiv:2107.11669.
    """

    needs_boxes = True
