# ResNet-18 trained from scratch and a narrow pyramid of four levels, for small images.
r18 = dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None)
r18_neck = dict(in_channels=[64, 128, 256, 512], out_channels=64, num_outs=4)
r18_head = dict(in_channels=64, feat_channels=64, stacked_convs=2)  # of one stage
# Scores of a ranking loss say which is better, not how likely an object is: 0.05, MMDetection's
# threshold, cuts off true positives.
low_score_thr = dict(score_thr=0.001)
