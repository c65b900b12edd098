"""Several processes that distil together, each with a shard of the graphs."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar('T')


class Ranks:
    """The processes of :mod:`torch.distributed`, or this process alone.

    Every rank calls :meth:`all_gather` in the same order. What fails in one
    rank is raised in all of them, so no rank waits forever.

    Args:
        distributed (bool): Whether there are other processes.

    Raises:
        RuntimeError: If there should be other processes, but no process group
            is initialised.
    """

    def __init__(self, distributed: bool = False) -> None:
        if distributed and not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "'distributed=True' needs a process group (got none); call "
                "torch.distributed.init_process_group('gloo') first"
            )
        self.size = dist.get_world_size() if distributed else 1
        self.rank = dist.get_rank() if distributed else 0
        self._has_failed = False

    def all_gather(self, work: Callable[[], T], stage: str) -> list[T]:
        """Runs some work in every rank and gives all results to every rank.

        Args:
            work (callable): The work of this rank.
            stage (str): What the work does, for error messages.

        Returns:
            list: The results, one a rank.

        Raises:
            RuntimeError: If another rank failed or was lost.
        """
        if self.size == 1:
            return [work()]
        # All ranks know of what is raised below.
        self._has_failed = True
        failure: BaseException | None = None
        result = reason = None
        try:
            result = work()
        except BaseException as error:  # Interrupts too: the others must know.
            failure = error
            reason = f'{type(error).__name__}: {error}'.partition('\n')[0]
        outcomes: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(outcomes, (stage, result, reason))
        except RuntimeError as error:
            if failure is not None:
                raise failure from None
            raise RuntimeError(
                f'a process was lost or too slow while {stage} (process '
                f'{self.rank} of {self.size} got: '
                f'{str(error).partition(chr(10))[0]}); start all of them again'
            ) from error
        if failure is not None:
            raise failure
        for rank, (other_stage, _, other_reason) in enumerate(outcomes):
            if other_stage != stage and other_reason is None:
                other_reason = f'it is {other_stage} after a caught error'
            if other_reason is not None:
                raise RuntimeError(
                    f'process {rank} of {self.size} failed while {stage}, so '
                    f'all of them stop: {other_reason}'
                )
        self._has_failed = False
        return [result for _, result, _ in outcomes]

    @contextmanager
    def share_errors(self, stage: str) -> Iterator[None]:
        """Raises in all ranks what fails in one between two exchanges."""
        try:
            yield
        except BaseException as error:
            if self.size > 1 and not self._has_failed:
                failed: Future[None] = Future()
                failed.set_exception(error)
                self.all_gather(failed.result, stage)
            raise
        self.all_gather(lambda: None, stage)

    def on_rank_zero(self, work: Callable[[], T], stage: str) -> T:
        """Runs some work in the first rank and gives its result to all."""
        return self.all_gather(
            lambda: work() if self.rank == 0 else None, stage
        )[0]  # type: ignore[return-value]

    def assert_equal(self, options: Callable[[], dict[str, Any]]) -> None:
        """Refuses ranks with different options."""
        by_rank = self.all_gather(options, 'comparing options')
        for rank, other in enumerate(by_rank):
            for name, value in by_rank[0].items():
                if name not in other or other[name] != value:
                    raise ValueError(
                        f'all processes must get the same options (got {name}='
                        f'{value!r} in process 0 and {other.get(name)!r} in '
                        f'process {rank}); only the source may differ'
                    )
