loss = dict(type='LovaszHingeLoss')
