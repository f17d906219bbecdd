# Underwater photos: 448 for training and 127 for validation, up to 56 animals in one.
_base_ = 'photos_320.py'

data_root = 'data/aquarium/'
metainfo = dict(
    classes=('fish', 'jellyfish', 'penguin', 'puffin', 'shark', 'starfish', 'stingray'),
    palette=[
        (220, 20, 60),
        (0, 60, 200),
        (0, 160, 60),
        (240, 160, 0),
        (130, 60, 200),
        (0, 170, 180),
        (120, 90, 60),
    ],
)
photos = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=photos)
val_dataloader = dict(dataset=photos)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
