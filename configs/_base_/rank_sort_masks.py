# The second stage of Rank & Sort Mask R-CNN: all proposals with the ground truth, which
# PseudoSampler does not add, and masks that the ranking of the boxes balances.
rank_sort_masks = dict(
    type='RankingStandardRoIHead',
    mask_head=dict(
        type='RankingFCNMaskHead',
        loss_mask=dict(_delete_=True, type='DiceLoss', use_sigmoid=True, activate=True, eps=5e-6),
    ),
)
all_proposals = dict(type='RandomSampler', num=10**10, pos_fraction=0.25)
