"""Names -> selectors, in the manner of PyG's resolvers."""

import inspect
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
    'auto',
    'frequent',
    'herding',
    'kcenter',
    'random',
    'multisets',
    'lossless',
]

_SELECTORS: dict[str, type[Selector]] = {
    kind.name: kind
    for kind in (
        Auto,
        FrequentTrees,
        Herding,
        KCenter,
        Random,
        Multisets,
        Lossless,
    )
}


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
    if inspect.isclass(query) and issubclass(query, Selector):
        selector = query(**kwargs)
    elif isinstance(query, str):
        kinds = list(_SELECTORS.values())
        try:
            selector = resolver(
                kinds, _SELECTORS, query, Selector, None, **kwargs
            )
        except ValueError as error:
            if 'Could not resolve' not in str(error):
                raise
            raise ValueError(
                f"'selection' must be one of {', '.join(_SELECTORS)} or a "
                f'Selector (got {query!r}); check the spelling'
            ) from None
    else:
        selector = query
        if kwargs:
            raise TypeError(
                f"'selection_kwargs' are for a selection given by name (got "
                f'{sorted(kwargs)} beside {query!r}); pass them to the '
                f'selector itself'
            )
    if not isinstance(selector, Selector):
        raise TypeError(
            f"'selection' must be a name or a Selector (got {query!r}); pass "
            f'one of {", ".join(_SELECTORS)}, or a subclass of Selector'
        )
    return selector
