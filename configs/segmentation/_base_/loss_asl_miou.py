loss = dict(type='AutoSegLoss', target_metric='mIoU', theta='voc_miou')
