"""What a run leaves in MMEngine."""

from mmengine.utils import ManagerMixin


def forget_runs() -> None:
    """Drop the scope, visualizers and loggers that MMEngine would hand to the next run."""
    managers = ManagerMixin.__subclasses__()
    while managers:
        manager = managers.pop()
        manager._instance_dict.clear()
        managers.extend(manager.__subclasses__())
