"""Small data sets to distil, and the names of test arguments."""

from typing import Any

from tests.selection.helpers import Graphs, path, random_graphs

__all__ = ['Graphs', 'name_of', 'path', 'random_graphs']


def name_of(value: Any) -> str:
    """The name of a test's argument, the same in every process."""
    return getattr(value, '__name__', None) or str(value)
