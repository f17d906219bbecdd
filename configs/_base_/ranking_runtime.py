custom_imports = dict(imports=['mmdet_alrp'], allow_failed_imports=False)
custom_hooks = [dict(type='SelfBalanceHook')]
