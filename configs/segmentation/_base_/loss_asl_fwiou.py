loss = dict(type='AutoSegLoss', target_metric='FWIoU', theta='voc_fwiou')
