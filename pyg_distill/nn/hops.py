"""The depth of the computation trees that a model reads."""

import torch
import torch_geometric.nn as pyg_nn

# Their normalisation reads the degrees of the neighbours, one hop further.
_DEGREE_OF_NEIGHBORS = (
    pyg_nn.APPNP,
    pyg_nn.ARMAConv,
    pyg_nn.DNAConv,
    pyg_nn.FAConv,
    pyg_nn.GCN2Conv,
    pyg_nn.GCNConv,
    pyg_nn.LGConv,
    pyg_nn.MixHopConv,
    pyg_nn.PDNConv,
    pyg_nn.SGConv,
    pyg_nn.SSGConv,
    pyg_nn.TAGConv,
)
_K_HOPS = (pyg_nn.APPNP, pyg_nn.SGConv, pyg_nn.SSGConv, pyg_nn.TAGConv)


def num_hops(model: torch.nn.Module) -> int:
    r"""Estimates the depth of the computation trees that a model reads.

    It assumes that layers follow each other. A layer is one hop, or several if
    it repeats itself (:class:`~torch_geometric.nn.conv.SGConv`,
    :class:`~torch_geometric.nn.conv.GatedGraphConv` and others). One hop is
    added if any layer normalises by the degrees of the neighbours. A layer
    that is exact at no depth counts as one hop, so use
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
    """The hops of each message passing layer that is in no other layer."""
    kinds = pyg_nn.MessagePassing | pyg_nn.AntiSymmetricConv
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    inner = {
        id(child)
        for layer in layers
        for child in layer.modules()
        if child is not layer
    }
    return {layer: _hops(layer) for layer in layers if id(layer) not in inner}


def _hops(layer: torch.nn.Module) -> int:
    if isinstance(layer, pyg_nn.ARMAConv | pyg_nn.GatedGraphConv):
        return layer.num_layers
    if isinstance(layer, pyg_nn.AntiSymmetricConv):
        return layer.num_iters
    if isinstance(layer, pyg_nn.MixHopConv):
        return max(layer.powers)
    return layer.K if isinstance(layer, _K_HOPS) else 1


def _reads_degree_of_neighbors(layer: torch.nn.Module) -> bool:
    if isinstance(layer, pyg_nn.EGConv):
        return 'symnorm' in layer.aggregators
    return isinstance(layer, _DEGREE_OF_NEIGHBORS) and getattr(
        layer, 'normalize', True
    )
