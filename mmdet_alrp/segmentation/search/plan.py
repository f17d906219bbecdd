"""A search put together from its settings and the config of its proxy training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.segmentation.losses.surrogate_files import parameters_to_dict

from .algorithms import build_algorithm
from .executors import build_executor
from .proxy import ProxyTask
from .search import SearchParts, sample_folder
from .space import SearchSpace
from .start import START_FILE


@dataclass(frozen=True)
class SearchPlan:
    """A search as the command line asks for it.

    Args:
        settings: Of the search, as they go into its record.
        proxy: Config of the proxy training.
        space: What is searched.
        work_dir: Where everything goes.
    """

    settings: dict[str, Any]
    proxy: Config
    space: SearchSpace
    work_dir: Path

    def parts(self, folder: Path, **more: Any) -> SearchParts:
        """Put a search together; ``proxy.py`` must be in the folder before a sample is trained.

        Args:
            folder: Where record, samples and the config of the proxy lie.
            **more: Further arguments of :class:`SearchParts`, such as ``after_round``.

        Raises:
            UsageError: If algorithm or executor refuse their settings.
        """
        seed = self.settings['seed']
        try:
            algorithm = build_algorithm(self.settings['algorithm'], self.space, seed)
            executor = build_executor(self.settings['executor'])
        except (ValueError, TypeError, ImportError) as error:
            raise UsageError(f'search: {error}') from None
        folder = folder.resolve()  # workers may run elsewhere

        def make_task(index: int, place: int, sample: tuple[float, ...]) -> ProxyTask:
            found = self.space.decode(sample)
            return ProxyTask(
                round=index,
                index=place,
                config_file=str(folder / 'proxy.py'),
                theta={metric: parameters_to_dict(entry) for metric, entry in found.items()},
                seed=seed,
                folder=str(sample_folder(folder, index, place)),
                start=self._start_file(folder),
            )

        return SearchParts(algorithm, executor, make_task, **more)

    def start_task(self, folder: Path) -> ProxyTask | None:
        """Return the task that trains the common start; None without one, or if it is there.

        Args:
            folder: Where it lies.
        """
        folder = folder.resolve()
        file = self._start_file(folder)
        if not file or Path(file).is_file():
            return None
        return ProxyTask(
            round=0,
            index=0,
            config_file=str(folder / 'proxy.py'),
            theta=None,
            seed=self.settings['seed'],
            folder=str(folder / 'samples' / 'start'),
            start=file,
        )

    def _start_file(self, folder: Path) -> str:
        return str(folder / START_FILE) if self.settings['start'] else ''
