loss = dict(type='DiceLoss', use_sigmoid=False)
