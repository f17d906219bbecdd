loss = dict(type='AutoSegLoss', target_metric='gAcc', theta='voc_gacc')
