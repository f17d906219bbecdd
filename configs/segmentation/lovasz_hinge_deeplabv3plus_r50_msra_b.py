_base_ = ['_base_/deeplabv3plus_r50_saliency.py', '_base_/msra_b.py', '_base_/loss_lovasz_hinge.py']

model = dict(
    decode_head=dict(loss_decode=_base_.loss),
    auxiliary_head=dict(loss_decode=[dict(part, loss_weight=0.4) for part in _base_.loss]),
)
