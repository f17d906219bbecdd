loss = dict(
    type='AutoSegLoss',
    target_metric=dict(mIoU=1.0, BF1=1.0),
    theta=dict(mIoU='voc_miou', BF1='voc_bf1'),
)
