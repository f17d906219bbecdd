_base_ = 'mmseg::_base_/default_runtime.py'

custom_imports = dict(
    imports=['mmdet_alrp', 'mmdet_alrp.guards.checkpoint_loading'], allow_failed_imports=False
)
