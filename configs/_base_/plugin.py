# What a config of MMDetection needs of this package beside a head and its losses.
custom_imports = dict(imports=['mmdet_alrp'], allow_failed_imports=False)
# Nothing goes wrong in silence, and no save costs the last checkpoint: docs/reliability.md.
reliable_hooks = dict(
    finite_loss=dict(type='FiniteLossHook'),
    batch_check=dict(type='BatchCheckHook'),
    checkpoint=dict(type='SafeCheckpointHook'),
)
