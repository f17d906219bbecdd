loss = dict(type='FMeasureLoss')
