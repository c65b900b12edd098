"""Names -> selectors, in the manner of PyG's resolvers."""

from typing import Any, Literal

from torch_geometric.resolver import resolver

from pyg_distill.selection.auto import Auto
from pyg_distill.selection.base import Selector
from pyg_distill.selection.frequent import FrequentTrees
from pyg_distill.selection.herding import Herding
from pyg_distill.selection.kcenter import KCenter
from pyg_distill.selection.lossless import Lossless
from pyg_distill.selection.multisets import Multisets
from pyg_distill.selection.random import Random

Selection = Literal[
    'auto', 'frequent', 'herding', 'kcenter', 'random', 'multisets', 'lossless'
]

_KINDS: list[type[Selector]] = [Auto, FrequentTrees, Herding, KCenter]
_KINDS += [Random, Multisets, Lossless]
_BY_NAME = {kind.name: kind for kind in _KINDS}


def selector_resolver(
    query: Selection | Selector | type[Selector], **kwargs: Any
) -> Selector:
    """Makes a selector of a name, a class or a selector.

    Args:
        query (str or Selector or type): The name, such as :obj:`"herding"`.
        **kwargs (optional): The arguments of the selector.

    Raises:
        TypeError: If it is no selector, or an argument is unknown.
        ValueError: If the name is unknown.
    """
    names = ', '.join(_BY_NAME)
    if isinstance(query, str):
        try:
            return resolver(_KINDS, _BY_NAME, query, None, None, **kwargs)
        except ValueError as error:
            if 'Could not resolve' not in str(error):
                raise
            raise ValueError(
                f"'selection' must be one of {names} or a Selector (got "
                f'{query!r}); check the spelling'
            ) from None
    if isinstance(query, type) and issubclass(query, Selector):
        return query(**kwargs)
    if not isinstance(query, Selector):
        raise TypeError(
            f"'selection' must be a name or a Selector (got {query!r}); pass "
            f'one of {names}'
        )
    if kwargs:
        raise TypeError(
            f"'selection_kwargs' are for a selection given by name (got "
            f'{sorted(kwargs)}); pass them to the selector itself'
        )
    return query
