loss = dict(type='AutoSegLoss', target_metric='mAcc', theta='voc_macc')
