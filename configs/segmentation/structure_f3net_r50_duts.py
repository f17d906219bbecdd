_base_ = ['_base_/f3net_r50.py', '_base_/f3net_duts.py']

# Two decoders, then the levels of the second, finest first. The published training takes the
# unweighted cross entropy.
loss = dict(
    type='StructureLoss',
    legacy_bce=True,
    output_weight=[1 / 2, 1 / 2, 1 / 2, 1 / 4, 1 / 8, 1 / 16],
)
model = dict(decode_head=dict(loss_decode=loss))
