# What a config of MMDetection needs of this package beside a head and its losses.
custom_imports = dict(
    imports=['mmdet_alrp', 'mmdet_alrp.guards.checkpoint_loading'], allow_failed_imports=False
)
# Nothing goes wrong in silence, and no save costs the last checkpoint: docs/reliability.md.
# For default_hooks, because custom_hooks of a config that inherits this one would replace them.
reliable_hooks = dict(
    finite_loss=dict(type='FiniteLossHook'),
    batch_check=dict(type='BatchCheckHook'),
    checkpoint=dict(type='SafeCheckpointHook'),
    self_balance=dict(type='SelfBalanceHook'),  # for losses that balance themselves
)
