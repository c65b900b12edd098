"""Names of attributes that a result has for itself."""

from collections.abc import Collection, Sequence

OF_TREE_SETS = ('root_index', 'root_count', 'num_layers')


def refuse_own_names(
    given: Collection[str], own: Sequence[str], owner: str
) -> None:
    """Refuses sources with attributes that the result has for itself.

    Either would be taken for the other.

    Args:
        given (list): The names of attributes that would be carried over.
        own (list): The names that the result needs.
        owner (str): The class named in error messages.

    Raises:
        ValueError: If there are any; it names the remedy.
    """
    found = [name for name in own if name in given]
    if found:
        names = ' and '.join(f"'{name}'" for name in found)
        raise ValueError(
            f"'{owner}' gives each graph a {names} of its own (got graphs "
            f'that have one); rename it, or leave it out with '
            f'exclude_keys={found}'
        )
