loss = dict(type='LovaszSoftmaxLoss')
