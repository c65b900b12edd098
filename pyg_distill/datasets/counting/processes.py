"""Several processes that distil together, each with a shard of the graphs."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar('T')


class Processes:
    """The processes of `torch.distributed`, or this one alone.

    Whatever fails in one of them is raised in all, so that none waits for
    ever and none goes on with half of the graphs.

    Args:
        distributed (bool): Whether there may be others.

    Raises:
        RuntimeError: If there should be others, but no process group is
            initialised.
    """

    def __init__(self, distributed: bool) -> None:
        if distributed and not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "'distributed=True' needs a process group (got none); call "
                "torch.distributed.init_process_group('gloo') first and start "
                'the script with torchrun, or leave distributed out'
            )
        self.size = dist.get_world_size() if distributed else 1
        self.rank = dist.get_rank() if distributed else 0

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that puts all together."""
        return self.rank == 0

    def gather(self, work: Callable[[], T], doing: str) -> list[T]:
        """Does the work in every process and gives the first all results.

        Args:
            work (callable): What to do here.
            doing (str): What that is, in error messages.

        Returns:
            list: The results by rank; empty in all processes but the first.

        Raises:
            RuntimeError: If another process failed.
        """
        if self.size == 1:
            return [work()]
        failure, outcome = _try(work)
        outcomes: list[Any] = [None] * self.size
        self._call(
            doing,
            lambda: dist.gather_object(
                outcome, outcomes if self.is_first else None
            ),
        )
        errors = [None if o is None else o[1] for o in outcomes]
        errors = self.share(errors, doing)
        if failure is not None:
            raise failure
        self._refuse(errors, doing)
        return [o[0] for o in outcomes] if self.is_first else []

    def in_first(self, work: Callable[[], T], doing: str) -> T | None:
        """Does the work in the first process alone.

        Args:
            work (callable): What to do there.
            doing (str): What that is, in error messages.

        Returns:
            The result; :obj:`None` in all processes but the first.

        Raises:
            RuntimeError: If the first process failed and this is another one.
        """
        if self.size == 1:
            return work()
        failure, (result, error) = (
            _try(work) if self.is_first else (None, (None, None))
        )
        error = self.share(error, doing)
        if failure is not None:
            raise failure
        self._refuse([error], doing)
        return result

    def share(self, value: Any, doing: str) -> Any:
        """Gives all processes what the first one has.

        Args:
            value: What it is; ignored in all processes but the first.
            doing (str): What for, in error messages.
        """
        if self.size == 1:
            return value
        box = [value]
        self._call(doing, lambda: dist.broadcast_object_list(box))
        return box[0]

    def check_alike(self, options: dict[str, Any]) -> None:
        """Refuses processes that do not want the same.

        Args:
            options (dict): What this one wants.

        Raises:
            ValueError: If another one wants something else.
        """
        by_rank = self.gather(lambda: options, 'comparing options')

        def compare() -> None:
            for rank, other in enumerate(by_rank):
                odd = [k for k in options if options[k] != other.get(k)]
                if odd or set(other) != set(options):
                    name = odd[0] if odd else 'selection'
                    raise ValueError(
                        f'all processes must be given the same options (got '
                        f'{name}={options.get(name)!r} in process 0 and '
                        f'{other.get(name)!r} in process {rank}); only the '
                        f'source may differ'
                    )

        self.in_first(compare, 'comparing options')

    def _call(self, doing: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except RuntimeError as error:
            reason = str(error).partition('\n')[0]
            raise RuntimeError(
                f'a process was lost while {doing} (process {self.rank} of '
                f'{self.size} saw: {reason}); nothing was written, so look '
                f'for its error and start all of them again'
            ) from error

    def _refuse(self, errors: list[str | None], doing: str) -> None:
        for rank, error in enumerate(errors):
            if error is not None:
                raise RuntimeError(
                    f'process {rank} of {self.size} failed while {doing}, so '
                    f'that nothing was distilled: {error}'
                )


def _try(
    work: Callable[[], T],
) -> tuple[Exception | None, tuple[T | None, str | None]]:
    try:
        return None, (work(), None)
    except Exception as error:
        reason = str(error).partition('\n')[0]
        return error, (None, f'{type(error).__name__}: {reason}')
