"""Several processes that distil together, each with a shard of the graphs."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar('T')


class Agreed(ValueError):  # noqa: N818
    """What all processes raise alike, so that all of them may go on."""


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
        sent = (doing, *outcome)
        self._call(
            doing,
            lambda: dist.gather_object(
                sent, outcomes if self.is_first else None
            ),
        )
        errors = [_error_of(o, doing) for o in outcomes]
        errors = self.share(errors, doing)
        if failure is not None:
            raise failure
        self._refuse(errors, doing)
        return [o[1] for o in outcomes] if self.is_first else []

    def in_first(self, work: Callable[[], T], doing: str) -> T | None:
        """Does the work in the first process alone.

        Args:
            work (callable): What to do there.
            doing (str): What that is, in error messages.

        Returns:
            The result; :obj:`None` in all processes but the first.

        Raises:
            Agreed: If the first process raised it.
            RuntimeError: If it failed otherwise, and this is another one.
        """
        if self.size == 1:
            return work()
        failure, (result, error) = (
            _try(work) if self.is_first else (None, (None, None))
        )
        agreed = failure if isinstance(failure, Agreed) else None
        error, agreed = self.share((error, agreed), doing)
        if agreed is not None:
            raise agreed
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

    def check_alike(self, read: Callable[[], dict[str, Any]]) -> None:
        """Refuses processes that do not want the same.

        Args:
            read (callable): Tells what this one wants.

        Raises:
            RuntimeError: If another one cannot tell.
            ValueError: If another one wants something else.
        """
        doing = 'comparing options'
        by_rank = self.gather(read, doing)

        def compare() -> None:
            for rank, other in enumerate(by_rank):
                for name, value in by_rank[0].items():
                    if name not in other or other[name] != value:
                        raise ValueError(
                            f'all processes must be given the same options '
                            f'(got {name}={value!r} in process 0 and '
                            f'{other.get(name)!r} in process {rank}); only '
                            f'the source may differ'
                        )

        self.in_first(compare, doing)

    def _call(self, doing: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except RuntimeError as error:
            reason = str(error).partition('\n')[0]
            raise RuntimeError(
                f'a process was lost while {doing}, or took longer than the '
                f'timeout of the group (process {self.rank} of {self.size} '
                f'saw: {reason}); look for its error and start all of them '
                f'again, no cache is left half written'
            ) from error

    def _refuse(self, errors: list[str | None], doing: str) -> None:
        for rank, error in enumerate(errors):
            if error is not None:
                raise RuntimeError(
                    f'process {rank} of {self.size} failed while {doing}, so '
                    f'that all of them stop: {error}'
                )


def _try(
    work: Callable[[], T],
) -> tuple[BaseException | None, tuple[T | None, str | None]]:
    try:
        return None, (work(), None)
    except BaseException as error:  # Interrupts as well, which are raised on.
        reason = str(error).partition('\n')[0]
        name = type(error).__name__
        return error, (None, f'{name}: {reason}' if reason else name)


def _error_of(outcome: Any, doing: str) -> str | None:
    if outcome is None:
        return None
    if outcome[0] != doing:
        return f'it is {outcome[0]} already, after an error that was caught'
    return outcome[2]
