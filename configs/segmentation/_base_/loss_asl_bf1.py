# Sharp boundaries and ruined regions: for comparison, use loss_asl_miou_bf1.py.
loss = dict(type='AutoSegLoss', target_metric='BF1', theta='voc_bf1')
