# ResNet-18 trained from scratch and a narrow pyramid of four levels, for small images.
r18 = dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None)
r18_neck = dict(in_channels=[64, 128, 256, 512], out_channels=64, num_outs=4)
