# Alone, the hinge holds a net from scratch at logits of 0, where it is 1 whatever the mask.
loss = [
    dict(type='CrossEntropyLoss', use_sigmoid=True),
    dict(type='LovaszHingeLoss'),
]
