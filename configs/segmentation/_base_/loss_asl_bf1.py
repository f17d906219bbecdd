# Sharp boundaries and ruined regions: for comparison, use loss_asl_miou_bf1.py. No parameters were
# published for BF1, so this is the metric made soft; the file of a search takes its place.
loss = dict(type='AutoSegLoss', target_metric='BF1', theta='diagonal')
