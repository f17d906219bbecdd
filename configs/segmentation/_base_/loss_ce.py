loss = dict(type='CrossEntropyLoss')
