loss = dict(
    type='AutoSegLoss',
    target_metric=dict(mIoU=1.0, BIoU=1.0),
    theta=dict(mIoU='voc_miou', BIoU='voc_biou'),
)
