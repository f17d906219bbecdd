# Classification features aligned to the predicted boxes, as MMDetection's "align" models.
deform = dict(with_deform=True, norm_cfg=dict(type='GN', num_groups=32, requires_grad=True))
