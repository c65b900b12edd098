"""Which data set does a run read? Fixed ones, lists and functions."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset
from torch_geometric.data import Data

from pyg_distill.evaluation.cross.views import Views


class RunSets:
    """A data set that may be another one in every run.

    Args:
        given (Dataset or list or callable): One data set, a list with one for
            each run, or a function of the number of the run.
        owner (str): The argument named in error messages.
        runs (list): The numbers of the runs.
        read (callable): Reads a data set.

    Raises:
        TypeError: If it is nothing of these.
        ValueError: If it is a list of another length.
    """

    def __init__(
        self,
        given: Any,
        owner: str,
        runs: Sequence[int],
        read: Callable[[Any, str], Views],
    ) -> None:
        self._read = read
        self._owner = owner
        self._of_run: dict[int, Any] | None = None
        self._make: Callable[[int], Any] | None = None
        self._last: tuple[int, Any, Views] | None = None
        if _is_list_of_sets(given):
            if len(given) != len(runs):
                raise ValueError(
                    f"'{owner}' must hold one data set a run (got {len(given)} "
                    f'for {len(runs)} runs); pass one data set for all, or a '
                    f'function of the run'
                )
            self._of_run = dict(zip(runs, given, strict=True))
        elif _is_set(given):
            self._of_run = dict.fromkeys(runs, given)
        elif callable(given) and not isinstance(given, Data):
            self._make = given
        else:
            got = type(given[0] if _is_list(given) else given).__name__
            what = f"a list of '{got}'" if _is_list(given) else f"'{got}'"
            raise TypeError(
                f"'{owner}' must be a data set, a list of them or a function "
                f'of the run (got {what}); pass a slice of a data '
                f'set, or [data]'
            )

    def __call__(self, run: int) -> tuple[Any, Views]:
        """The data set of a run, and the same as tensors.

        A function is called once for each run, however often this is, as it
        may draw at random.

        Args:
            run (int): The number of the run.
        """
        if self._last is None or self._last[0] != run:
            self._last = run, *self._read_run(run)
        return self._last[1:]

    def _read_run(self, run: int) -> tuple[Any, Views]:
        if self._make is not None:
            # Read even if it is the list of the last run, which may have been
            # filled with other graphs.
            dataset = self._make(run)
        else:
            assert self._of_run is not None
            dataset = self._of_run[run]
            if self._last is not None and self._last[1] is dataset:
                return self._last[1:]
        return dataset, self._read(dataset, self._owner)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0


def _is_set(value: Any) -> bool:
    return isinstance(value, Dataset) or (
        _is_list(value) and isinstance(value[0], Data)
    )


def _is_list_of_sets(value: Any) -> bool:
    return _is_list(value) and all(_is_set(item) for item in value)
