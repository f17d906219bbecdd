# DUTS: 10553 images to train on, 5019 to judge by. Another test set takes the place of the last
# with `test_dataloader.dataset.data_root=data/saliency/ECSSD`, PASCAL-S, DUT-OMRON or HKU-IS.
_base_ = 'saliency_recipe.py'

data_root = 'data/saliency/'
train_dataloader = dict(dataset=dict(data_root=data_root + 'DUTS-TR'))
val_dataloader = dict(dataset=dict(data_root=data_root + 'DUTS-TE'))
test_dataloader = val_dataloader
