# Circuit boards with small defects: 1,000 images for training and 168 for validation.
_base_ = 'photos_320.py'

data_root = 'data/deeppcb/'
metainfo = dict(
    classes=('copper', 'mousebite', 'open', 'pin-hole', 'short', 'spur'),
    palette=[
        (220, 20, 60),
        (0, 60, 200),
        (0, 160, 60),
        (240, 160, 0),
        (130, 60, 200),
        (0, 170, 180),
    ],
)
photos = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=photos)
val_dataloader = dict(dataset=photos)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
