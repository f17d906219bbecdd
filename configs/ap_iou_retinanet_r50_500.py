_base_ = 'ap_retinanet_r50_500.py'

model = dict(
    bbox_head=dict(
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type='IoULoss', mode='linear', reduction='none'),
    )
)
