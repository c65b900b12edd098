"""How deep must trees be for a model to read them exactly?"""

import torch
from torch_geometric.nn import (
    APPNP,
    AntiSymmetricConv,
    ARMAConv,
    DNAConv,
    EGConv,
    FAConv,
    GatedGraphConv,
    GCN2Conv,
    GCNConv,
    LGConv,
    MessagePassing,
    MixHopConv,
    PDNConv,
    SGConv,
    SSGConv,
    TAGConv,
)

# Their normalisation reads the degrees of the neighbours, one hop further.
_DEGREE_OF_NEIGHBORS = (
    APPNP,
    ARMAConv,
    DNAConv,
    FAConv,
    GCN2Conv,
    GCNConv,
    LGConv,
    MixHopConv,
    PDNConv,
    SGConv,
    SSGConv,
    TAGConv,
)
_K_HOPS = (APPNP, SGConv, SSGConv, TAGConv)


def num_hops(model: torch.nn.Module) -> int:
    r"""Estimates the depth of the computation trees that a model reads.

    Layers are assumed to follow each other, each a hop or as many as it counts
    (:class:`~torch_geometric.nn.conv.SGConv`,
    :class:`~torch_geometric.nn.conv.GatedGraphConv` and their like). One hop
    is added if any layer normalises by the degrees of the neighbours. Layers
    that are exact at no depth count as one hop, so try
    :meth:`~pyg_distill.evaluation.check_exact` on a new architecture.

    Args:
        model (torch.nn.Module): A model, or the part of it that computes node
            embeddings.

    Returns:
        int: The estimate, 0 if there is no message passing layer.
    """
    extra = any(_reads_degree_of_neighbors(m) for m in model.modules())
    return sum(layer_hops(model).values()) + int(extra)


def layer_hops(model: torch.nn.Module) -> dict[torch.nn.Module, int]:
    """The hops of each message passing layer that is in no other one.

    Args:
        model (torch.nn.Module): A model.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, MessagePassing | AntiSymmetricConv)
    ]
    inner = {
        id(child)
        for layer in layers
        for child in layer.modules()
        if child is not layer
    }
    return {layer: _hops(layer) for layer in layers if id(layer) not in inner}


def _hops(layer: torch.nn.Module) -> int:
    if isinstance(layer, ARMAConv | GatedGraphConv):
        return layer.num_layers
    if isinstance(layer, AntiSymmetricConv):
        return layer.num_iters
    if isinstance(layer, MixHopConv):
        return max(layer.powers)
    return layer.K if isinstance(layer, _K_HOPS) else 1


def _reads_degree_of_neighbors(layer: torch.nn.Module) -> bool:
    if isinstance(layer, EGConv):
        return 'symnorm' in layer.aggregators
    return isinstance(layer, _DEGREE_OF_NEIGHBORS) and getattr(
        layer, 'normalize', True
    )
