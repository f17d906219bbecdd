loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
