# Sharp boundaries and ruined regions: for comparison, use loss_asl_miou_biou.py.
loss = dict(type='AutoSegLoss', target_metric='BIoU', theta='voc_biou')
