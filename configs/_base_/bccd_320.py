# Blood cells at a longest side of 320: 205 images for training and 87 for validation.
_base_ = 'photos_320.py'

data_root = 'data/bccd/'
metainfo = dict(
    classes=('RBC', 'WBC', 'Platelets'),
    palette=[(220, 20, 60), (0, 60, 200), (0, 160, 60)],
)
photos = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=photos)
val_dataloader = dict(dataset=photos)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
