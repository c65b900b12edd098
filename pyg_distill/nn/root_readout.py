"""Readout over the roots of tree sets, inside a model left as it is."""

import copy
import inspect
import warnings
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_distill.nn.hops import num_hops
from pyg_distill.nn.pool import (
    check_root_batch,
    check_root_count,
    num_groups,
)
from pyg_distill.nn.root_hooks import call_on_roots, replace


class RootReadout(torch.nn.Module):
    r"""Lets a model that knows nothing of tree sets read them.

    The model computes node embeddings in a submodule, the :obj:`encoder`, and
    pools them by a :obj:`batch` vector. When roots are given, a hook hands on
    only the embeddings of the roots, each as often as it counts, and the
    model is called with the roots' :obj:`batch`. What follows the encoder,
    any readout, norm or head, thus sees what it would see of the graphs
    themselves. Without roots, the model is called as it is. It remains
    available, with its own names of parameters, as :obj:`model.model`.

    .. code-block:: python

        model = RootReadout(Net(), encoder='gnn')
        out = model(
            data.x,
            data.edge_index,
            data.get('batch'),
            root_index=data.get('root_index'),
            root_count=data.get('root_count'),
            root_index_batch=data.get('root_index_batch'),
            num_layers=data.get('num_layers'),
        )
        out = model(data)  # If `Net` takes a `Data` object.

    What runs before or inside of the encoder sees all nodes, with their own
    :obj:`batch`. Nodes of :class:`~pyg_distill.loader.TreeSetLoader` have
    none, so a norm there that reads it raises an error.

    Args:
        model (torch.nn.Module): The model.
        encoder (str): The name of the submodule whose output, a tensor of
            shape :obj:`[N, F]`, are the node embeddings, as in
            :meth:`~torch.nn.Module.named_modules`.
        batch (str, optional): The name of the argument of the model that
            holds the graph of each node. (default: :obj:`"batch"`)

    Raises:
        ValueError: If there is no such submodule, it was not called or did
            not return one row a node, the model has no such argument, or
            nodes have no :obj:`batch` where it is read.
    """

    def __init__(
        self, model: torch.nn.Module, encoder: str, batch: str = 'batch'
    ) -> None:
        super().__init__()
        names = [name for name, _ in model.named_modules() if name]
        if encoder not in names:
            top = ', '.join(name for name in names if name.count('.') < 2)
            raise ValueError(
                f"'encoder' must name a submodule of "
                f"'{type(model).__name__}' (got {encoder!r}); there are "
                f'{top or "none"}'
            )
        self.model = model
        self.encoder = encoder
        self.batch = batch
        self._warned = False

    def forward(
        self,
        *args: Any,
        root_index: Tensor | None = None,
        root_count: Tensor | None = None,
        num_layers: Tensor | int | None = None,
        root_index_batch: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Calls the model.

        Args:
            *args (optional): The arguments of the model, one of them a
                :class:`~torch_geometric.data.Data` object that holds all that
                follows, or tensors.
            root_index (torch.Tensor, optional): The nodes that are roots, of
                shape :obj:`[R]`. (default: :obj:`None`)
            root_count (torch.Tensor, optional): How many nodes each root
                stands for, of shape :obj:`[R]`. (default: :obj:`None`)
            num_layers (torch.Tensor or int, optional): The depth of the
                trees; if given, a deeper model is warned of.
                (default: :obj:`None`)
            root_index_batch (torch.Tensor, optional): The graph of each root,
                of shape :obj:`[R]`, where nodes have none.
                (default: :obj:`None`)
            **kwargs (optional): Further arguments of the model.
        """
        values = (*args, *kwargs.values())
        data = next((v for v in values if isinstance(v, Data)), None)
        if data is not None and root_index is None:
            root_index = data.get('root_index')
            root_count = data.get('root_count')
            num_layers = data.get('num_layers')
        # Without it, all graphs would be read out as one.
        if data is not None and root_index_batch is None:
            root_index_batch = data.get('root_index_batch')
        if root_index is None:
            check_root_batch(None, root_index_batch, None, None)
            return self.model(*args, **kwargs)

        self._check_depth(num_layers)
        bound = None if data is not None else self._bind(args, kwargs)
        given: Any = data if bound is None else bound.arguments
        batch = given.get('batch' if bound is None else self.batch)
        ptr = given.get('ptr')
        # There is a depth for each graph.
        size = num_layers.numel() if isinstance(num_layers, Tensor) else None
        check_root_batch(root_index, root_index_batch, batch, size)
        root_batch = root_index_batch
        if root_batch is None and batch is not None:
            root_batch = batch[root_index]
        if root_count is not None:
            check_root_count(root_index, root_count)
            root_index = root_index.repeat_interleave(root_count)
            if root_batch is not None:
                root_batch = root_batch.repeat_interleave(root_count)
        root_ptr = None
        # A model that pools by `ptr` would take none for a single graph.
        if root_batch is not None and (ptr is not None or batch is None):
            if ptr is not None:
                num_graphs = ptr.numel() - 1
            else:
                num_graphs = getattr(data, 'num_graphs', num_groups(root_batch))
            count = torch.bincount(root_batch, minlength=num_graphs)
            root_ptr = torch.nn.functional.pad(count.cumsum(0), (1, 0))

        nodes = [(root_batch, batch), (root_ptr, ptr)]
        if bound is None:
            root_data: Any = copy.copy(data)
            root_data.batch, root_data.ptr = root_batch, root_ptr
            nodes.append((root_data, data))
            args, kwargs = replace(args, kwargs, [(data, root_data)])
        else:
            bound.arguments[self.batch] = root_batch
            if 'ptr' in bound.signature.parameters and root_ptr is not None:
                bound.arguments['ptr'] = root_ptr
            args, kwargs = bound.args, bound.kwargs
        num_nodes = None if batch is None else batch.size(0)
        return call_on_roots(
            self.model, self.encoder, args, kwargs, root_index, num_nodes, nodes
        )

    def _bind(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        signature = inspect.signature(self.model.forward)
        if self.batch not in signature.parameters:
            raise ValueError(
                f"'{type(self.model).__name__}' has no argument "
                f'{self.batch!r} (it takes '
                f'{", ".join(signature.parameters)}); name the one that holds '
                f'the graph of each node with batch=...'
            )
        return signature.bind(*args, **kwargs)

    def _check_depth(self, num_layers: Tensor | int | None) -> None:
        if num_layers is None or self._warned:
            return
        depth = int(torch.as_tensor(num_layers).min())
        needed = num_hops(self.model.get_submodule(self.encoder))
        if needed > depth:
            self._warned = True
            warnings.warn(
                f"'{self.encoder}' reads {needed} hops, but the computation "
                f'trees are {depth} deep, so their readout is not that of '
                f'the graphs; build them with num_layers={needed}',
                stacklevel=5,
            )

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}({type(self.model).__name__}, '
            f'encoder={self.encoder!r})'
        )
