"""Batch -> what a model makes of it, whatever its arguments are called."""

import inspect
from typing import Any

import torch
from torch_geometric.data import Data

from pyg_distill.nn import RootReadout


def call_by_name(model: torch.nn.Module, data: Data) -> Any:
    """Calls a model with the attributes that its arguments are named after.

    Args:
        model (torch.nn.Module): The model.
        data (torch_geometric.data.Data): A graph or mini-batch; an argument
            named :obj:`data` gets all of it.

    Raises:
        ValueError: If an argument is not there.
    """
    inner = model.model if isinstance(model, RootReadout) else model
    parameters = inspect.signature(inner.forward).parameters.values()
    kwargs = {}
    for parameter in parameters:
        if parameter.name == 'data':
            kwargs['data'] = data
        elif parameter.name in data:
            kwargs[parameter.name] = data[parameter.name]
        elif parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            raise ValueError(
                f"'{type(inner).__name__}' has an argument "
                f'{parameter.name!r} that the graphs do not have (got '
                f'{data}); say how to call it with forward=...'
            )
    if isinstance(model, RootReadout) and 'data' not in kwargs:
        for name in ('root_index', 'root_count'):
            kwargs[name] = data.get(name)
    return model(**kwargs)
