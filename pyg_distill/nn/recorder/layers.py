"""Which modules of a model are its layers, and which ones a name means."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule
from torch_geometric.nn import (
    Aggregation,
    AntiSymmetricConv,
    ASAPooling,
    DeepGCNLayer,
    DenseGATConv,
    DenseGCNConv,
    DenseGINConv,
    DenseGraphConv,
    DenseSAGEConv,
    DirGNNConv,
    GPSConv,
    HeteroConv,
    MessagePassing,
    MetaLayer,
    SAGPooling,
    XConv,
)
from torch_geometric.nn.conv.cugraph.base import CuGraphModule
from torch_geometric.nn.models.rev_gnn import InvertibleModule
from torch_geometric.nn.to_hetero_with_bases_transformer import (
    HeteroBasisConv,
)

from pyg_distill.nn.recorder.names import resolve, shorten
from pyg_distill.nn.recorder.to_hetero import (
    Formula,
    part_names,
    split_layers,
)

# Those that pass messages, and those that wrap such a module and return more
# than it does.
_LAYERS = (
    AntiSymmetricConv,
    CuGraphModule,
    DeepGCNLayer,
    DenseGATConv,
    DenseGCNConv,
    DenseGINConv,
    DenseGraphConv,
    DenseSAGEConv,
    DirGNNConv,
    GPSConv,
    HeteroBasisConv,
    HeteroConv,
    InvertibleModule,
    MessagePassing,
    MetaLayer,
    XConv,
)
# What passes messages in here only scores nodes.
_POOLS = (Aggregation, ASAPooling, SAGPooling)
_NEVER_CALLED = (torch.nn.ModuleDict, torch.nn.ModuleList)


@dataclass
class Layer:
    """What is recorded under one name.

    Attributes:
        name (str): The name of the module, empty for the model itself.
        modules (dict): The modules to hook, by the name of the part they
            compute, which is empty if they compute all.
        formulas (dict, optional): If it is split up, how its parts are
            combined to the output of each node type.
    """

    name: str
    modules: dict[str, torch.nn.Module]
    formulas: dict[str, Formula] | None = None


def find_layers(model: torch.nn.Module, layers: Any) -> list[Layer]:
    """Finds what to record.

    Args:
        model (torch.nn.Module): The model.
        layers (str or torch.nn.Module or iterable): :obj:`"auto"`, or names,
            patterns or modules.

    Raises:
        TypeError: If :obj:`layers` is anything else.
        ValueError: If it means no module, or one that is never called.
    """
    split = _split_layers(model)
    auto = _outermost(model, split)
    known = auto or [
        name
        for name, module in model.named_modules()
        if name and not isinstance(module, _NEVER_CALLED)
    ]
    if isinstance(layers, str) and layers == 'auto':
        if not auto and not isinstance(model, _LAYERS):
            raise ValueError(
                f"'layers' must be given for '{type(model).__name__}', in "
                f'which no layer passes messages (got {layers!r}); there are '
                f'{shorten(known)}'
            )
        names = auto or ['']
    else:
        names = list(dict.fromkeys(resolve(model, layers, known)))
    modules = dict(model.named_modules())
    return [_layer(modules, name, split) for name in names]


def _layer(
    modules: dict[str, torch.nn.Module],
    name: str,
    split: dict[str, dict[str, Formula]],
) -> Layer:
    if name in split:
        parts = [p for f in split[name].values() for p in part_names(f)]
        return Layer(
            name,
            {part: modules[f'{name}.{part}'] for part in parts},
            split[name],
        )
    module = modules[name]
    if isinstance(module, _NEVER_CALLED):
        raise ValueError(
            f"'layers' must name modules that are called (got {name!r}, a "
            f"'{type(module).__name__}'); try '{name}.*'"
        )
    return Layer(name, {'': module})


def _split_layers(
    model: torch.nn.Module,
) -> dict[str, dict[str, Formula]]:
    return {
        f'{prefix}.{name}' if prefix else name: layer
        for prefix, module in model.named_modules()
        if isinstance(module, GraphModule)
        for name, layer in split_layers(module).items()
    }


def _outermost(model: torch.nn.Module, split: dict[str, Any]) -> list[str]:
    found: dict[str, torch.nn.Module] = {}

    def visit(name: str, module: torch.nn.Module) -> None:
        for key, child in module.named_children():
            inner = f'{name}.{key}' if name else key
            layer = isinstance(child, _LAYERS)
            if inner in split:
                layer = all(isinstance(m, _LAYERS) for m in child.children())
            if layer and not any(child is other for other in found.values()):
                found[inner] = child
            elif not layer and not isinstance(child, _POOLS):
                visit(inner, child)

    visit('', model)
    # A module may also have a name beside that in its wrapper.
    inside = {
        id(m)
        for module in found.values()
        for m in module.modules()
        if m is not module
    }
    return [name for name, module in found.items() if id(module) not in inside]
