loss = dict(type='StructureLoss')
