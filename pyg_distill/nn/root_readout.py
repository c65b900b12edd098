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
from pyg_distill.nn.pool import Roots


class RootReadout(torch.nn.Module):
    r"""Lets a model that knows nothing of tree sets read them.

    The model computes node embeddings in a submodule, the :obj:`encoder`, and
    pools them by a :obj:`batch` vector. If there are roots, a hook hands on
    only the embeddings of the roots, each as often as it counts, and the
    model is called with the :obj:`batch` of the roots. Thus any readout, norm
    or head after the encoder sees what it would see of the graphs. Without
    roots, the model is called as it is. It remains available, with its own
    names of parameters, as :obj:`model.model`.

    .. code-block:: python

        model = RootReadout(Net(), encoder='gnn')
        out = model(data)

    A model that takes tensors gets the attributes of :obj:`data` that its
    arguments are named after. It can also be called with tensors, and with
    :obj:`root_index`, :obj:`root_count` and their like as keywords.

    Everything before and inside of the encoder sees all nodes, with their own
    :obj:`batch`. Nodes of :class:`~pyg_distill.loader.TreeSetLoader` have
    none, so a norm there that reads it raises an error.

    Args:
        model (torch.nn.Module): The model.
        encoder (str): The name of the submodule that returns the node
            embeddings, a tensor of shape :obj:`[N, F]`, as in
            :meth:`~torch.nn.Module.named_modules`.
        batch (str, optional): The name of the argument of the model that
            holds the graph of each node. (default: :obj:`"batch"`)

    Raises:
        ValueError: If there is no such submodule.
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
            *args (optional): The graph or mini-batch, which holds all that
                follows, or the arguments of the model.
            root_index (torch.Tensor, optional): The nodes that are roots, of
                shape :obj:`[R]`. (default: :obj:`None`)
            root_count (torch.Tensor, optional): How many nodes each root
                stands for, of shape :obj:`[R]`. (default: :obj:`None`)
            num_layers (torch.Tensor or int, optional): The depth of the
                trees. If given, a deeper model causes a warning.
                (default: :obj:`None`)
            root_index_batch (torch.Tensor, optional): The graph of each root,
                of shape :obj:`[R]`, if nodes have none.
                (default: :obj:`None`)
            **kwargs (optional): Further arguments of the model.

        Returns:
            What the model returns.

        Raises:
            ValueError: If roots, their counts and their graphs do not fit,
                the encoder was not called or does not return one row a node,
                messages are passed after it, the model has no argument for
                the graph of each node, or nodes have no :obj:`batch` where it
                is read.
        """
        values = (*args, *kwargs.values())
        data = next((v for v in values if isinstance(v, Data)), None)
        signature = inspect.signature(self.model.forward)
        names = list(signature.parameters)
        as_data = data is not None
        if data is not None:
            if root_index is None:
                root_index = data.get('root_index')
                root_count = data.get('root_count')
                num_layers = data.get('num_layers')
            if root_index_batch is None:
                root_index_batch = data.get('root_index_batch')
            if len(values) == 1 and self.batch in names and names[0] in data:
                as_data, args = False, ()
                read = {name: data.get(name) for name in names}
                read[self.batch] = data.get('batch')
                kwargs = {
                    name: value
                    for name, value in read.items()
                    if value is not None or name in (self.batch, 'ptr')
                }
        if root_index is None:
            Roots(None, None, None, root_index_batch, None).check()
            return self.model(*args, **kwargs)

        self._warn_if_deeper(num_layers)
        if not as_data and self.batch not in names:
            raise ValueError(
                f"'{type(self.model).__name__}' has no argument "
                f'{self.batch!r} (it takes {", ".join(names)}); name the one '
                f'that holds the graph of each node with batch=...'
            )
        bound = None if as_data else signature.bind(*args, **kwargs)
        given: Any = data if bound is None else bound.arguments
        batch = given.get('batch' if bound is None else self.batch)
        ptr = given.get('ptr')
        # Each graph has a depth.
        size = num_layers.numel() if isinstance(num_layers, Tensor) else None
        roots = Roots(batch, root_index, root_count, root_index_batch, size)
        roots.check()
        root_index, root_batch = roots.repeat()
        root_ptr = None
        # A model that pools by `ptr` would take none for a single graph.
        if root_batch is not None and (ptr is not None or batch is None):
            size = getattr(data, 'num_graphs', None)
            size = roots._replace(size=size).num_graphs()
            size = size if ptr is None else ptr.numel() - 1
            count = torch.bincount(root_batch, minlength=size)
            root_ptr = torch.nn.functional.pad(count.cumsum(0), (1, 0))

        swaps = [(root_batch, batch), (root_ptr, ptr)]
        if bound is None:
            root_data: Any = copy.copy(data)
            root_data.batch, root_data.ptr = root_batch, root_ptr
            swaps.append((root_data, data))
            args, kwargs = _swap(args, kwargs, [(data, root_data)])
        else:
            bound.arguments[self.batch] = root_batch
            if 'ptr' in names and root_ptr is not None:
                bound.arguments['ptr'] = root_ptr
            args, kwargs = bound.args, bound.kwargs
        num_nodes = None if batch is None else batch.size(0)
        return self._call(args, kwargs, root_index, num_nodes, swaps)

    def _call(
        self,
        args: Any,
        kwargs: Any,
        root_index: Tensor,
        num_nodes: int | None,
        swaps: list[tuple[Any, Any]],
    ) -> Any:
        """Calls the model, and keeps only roots where its encoder ends.

        Each swap has what belongs to roots, and what modules get instead of
        it as long as all nodes are there, or None if it does not exist.
        """
        name, encoder = self.encoder, self.model.get_submodule(self.encoder)
        missing = [roots for roots, nodes in swaps if nodes is None]
        called = False

        def give_nodes(module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
            nonlocal called
            if called and module is not encoder:
                return args, kwargs
            called = called or module is encoder
            for value in (*args, *kwargs.values()):
                if value is not None and any(value is m for m in missing):
                    raise ValueError(
                        f"'{type(module).__name__}' is given the graph of "
                        f"each node before '{name}' is done, which merged "
                        f"trees do not have; use 'DataLoader', or layers that "
                        f'treat each node alone'
                    )
            return _swap(args, kwargs, swaps)

        def keep_roots(module: torch.nn.Module, args: Any, out: Any) -> Tensor:
            got = f"a '{type(out).__name__}'"
            if isinstance(out, Tensor):
                if num_nodes in (None, out.size(0)):
                    return out.index_select(0, root_index)
                got = f'{out.size(0)} rows for {num_nodes} nodes'
            raise ValueError(
                f"'{name}' must return a tensor with one row a node (got "
                f'{got}); name the submodule that does with encoder=...'
            )

        def refuse_messages(module: torch.nn.Module, args: Any) -> None:
            # Without it, roots would exchange messages along wrong edges.
            if called:
                raise ValueError(
                    f"'{type(module).__name__}' passes messages after "
                    f"'{name}', which leaves only roots; name the submodule "
                    f'that ends with the last such layer with encoder=...'
                )

        # A module around the encoder pools its nodes, so it must get roots.
        path = name.split('.')
        prefixes = ['.'.join(path[:i]) for i in range(len(path))]
        around = {self.model.get_submodule(prefix) for prefix in prefixes}
        outside = set(self.model.modules()) - set(encoder.modules()) - around
        handles = [encoder.register_forward_hook(keep_roots)]
        for module in (encoder, *outside):
            add_hook = module.register_forward_pre_hook
            handles.append(add_hook(give_nodes, with_kwargs=True))
            if isinstance(module, MessagePassing) and module is not encoder:
                handles.append(add_hook(refuse_messages))
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
                f"'{name}' was not called by '{type(self.model).__name__}', "
                f'so it cannot hand on the roots; name the submodule that '
                f'computes the node embeddings with encoder=...'
            ) from failure
        return out

    def _warn_if_deeper(self, num_layers: Tensor | int | None) -> None:
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


def _swap(args: Any, kwargs: Any, pairs: list[tuple[Any, Any]]) -> Any:
    """Replaces arguments that are the first of a pair by the second."""

    # By identity, since tensors are compared element by element.
    def one(value: Any) -> Any:
        return next((new for old, new in pairs if value is old), value)

    kwargs = {key: one(value) for key, value in kwargs.items()}
    return tuple(one(value) for value in args), kwargs
