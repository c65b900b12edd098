"""Readout over the roots of tree sets, inside a model left as it is."""

import copy
import inspect
import warnings
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from pyg_distill.nn.hops import num_hops
from pyg_distill.nn.pool import check_root_count


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
            data.batch,
            root_index=data.get('root_index'),
            root_count=data.get('root_count'),
            num_layers=data.get('num_layers'),
        )
        out = model(data)  # If `Net` takes a `Data` object.

    Args:
        model (torch.nn.Module): The model.
        encoder (str): The name of the submodule whose output, a tensor of
            shape :obj:`[N, F]`, are the node embeddings, as in
            :meth:`~torch.nn.Module.named_modules`.
        batch (str, optional): The name of the argument of the model that
            holds the graph of each node. (default: :obj:`"batch"`)

    Raises:
        ValueError: If there is no such submodule, it was not called or did
            not return one row a node, or the model has no such argument.
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
            **kwargs (optional): Further arguments of the model.
        """
        values = (*args, *kwargs.values())
        data = next((v for v in values if isinstance(v, Data)), None)
        if data is not None and root_index is None:
            root_index = data.get('root_index')
            root_count = data.get('root_count')
            num_layers = data.get('num_layers')
        if root_index is None:
            return self.model(*args, **kwargs)

        self._check_depth(num_layers)
        if root_count is not None:
            check_root_count(root_index, root_count)
            root_index = root_index.repeat_interleave(root_count)
        if data is not None:
            batch = data.get('batch')
            root_data = copy.copy(data)
            root_data.batch = None if batch is None else batch[root_index]
            nodes = [(root_data, data), (root_data.batch, batch)]
            if 'ptr' in data:
                root_data.ptr = _root_ptr(root_data.batch, data.ptr)
                nodes.append((root_data.ptr, data.ptr))
            args, kwargs = _replace(args, kwargs, [(data, root_data)])
        else:
            bound = self._bind(args, kwargs)
            batch = bound.arguments.get(self.batch)
            root_batch = None if batch is None else batch[root_index]
            bound.arguments[self.batch] = root_batch
            nodes = [(root_batch, batch)]
            ptr = bound.arguments.get('ptr')
            if ptr is not None and root_batch is not None:
                bound.arguments['ptr'] = _root_ptr(root_batch, ptr)
                nodes.append((bound.arguments['ptr'], ptr))
            args, kwargs = bound.args, bound.kwargs
        return self._call(args, kwargs, root_index, batch, nodes)

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

    def _call(
        self,
        args: Any,
        kwargs: Any,
        root_index: Tensor,
        batch: Tensor | None,
        nodes: list[tuple[Any, Any]],
    ) -> Any:
        called = False

        def give_nodes(
            module: torch.nn.Module, args: Any, kwargs: Any
        ) -> tuple[Any, Any]:
            nonlocal called
            called = True
            # The encoder still works on all nodes.
            return _replace(args, kwargs, nodes)

        def gather_roots(
            module: torch.nn.Module, args: Any, out: Any
        ) -> Tensor:
            if not isinstance(out, Tensor):
                raise ValueError(
                    f"'{self.encoder}' must return a tensor of node "
                    f"embeddings (got '{type(out).__name__}'); name the "
                    f'submodule that does with encoder=...'
                )
            if batch is not None and out.size(0) != batch.size(0):
                raise ValueError(
                    f"'{self.encoder}' must return one row a node (got "
                    f'{out.size(0)} rows for {batch.size(0)} nodes); name '
                    f'the submodule that does with encoder=...'
                )
            return out[root_index]

        def refuse(module: torch.nn.Module, args: Any) -> None:
            # Roots have lost their edges, and nothing need fail because of it.
            if called:
                raise ValueError(
                    f"'{type(module).__name__}' passes messages after "
                    f"'{self.encoder}', of which only roots are left; name "
                    f'the submodule that ends with the last such layer with '
                    f'encoder=...'
                )

        encoder = self.model.get_submodule(self.encoder)
        inside = set(encoder.modules())
        handles = [
            encoder.register_forward_pre_hook(give_nodes, with_kwargs=True),
            encoder.register_forward_hook(gather_roots),
            *(
                module.register_forward_pre_hook(refuse)
                for module in self.model.modules()
                if isinstance(module, MessagePassing) and module not in inside
            ),
        ]
        failure = out = None
        try:
            out = self.model(*args, **kwargs)
        except (IndexError, RuntimeError) as error:
            # Without the encoder, `batch` does not fit the embeddings.
            if called:
                raise
            failure = error
        finally:
            for handle in handles:
                handle.remove()
        if not called:
            raise ValueError(
                f"'{self.encoder}' was not called by "
                f"'{type(self.model).__name__}', so no roots were gathered; "
                f'name the submodule that computes the node embeddings'
            ) from failure
        return out

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


def _root_ptr(root_batch: Tensor, ptr: Tensor) -> Tensor:
    count = torch.bincount(root_batch, minlength=ptr.numel() - 1)
    return torch.nn.functional.pad(count.cumsum(0), (1, 0))


def _replace(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    pairs: list[tuple[Any, Any]],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # By identity, since tensors are compared element by element.
    def replace(value: Any) -> Any:
        return next((new for old, new in pairs if value is old), value)

    kwargs = {key: replace(value) for key, value in kwargs.items()}
    return tuple(replace(value) for value in args), kwargs
