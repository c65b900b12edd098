"""What a trained model makes of each graph before it decides."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from pyg_distill.evaluation.calling import call_by_name

Layer = str | Callable[[torch.nn.Module, Data], Tensor]


def model_embeddings(
    model: torch.nn.Module,
    dataset: Dataset | Sequence[Data],
    layer: Layer | None = None,
    batch_size: int = 256,
    forward: Callable[[torch.nn.Module, Data], Any] | None = None,
    log: bool = True,
) -> Tensor:
    r"""Embeds graphs with a trained model: what its head is given.

    Herding and k-center usually compare these, which takes a model trained on
    all graphs and ties the coreset to it:

    .. code-block:: python

        train = dataset[train_idx]
        coreset = CoresetDataset(
            train,
            'herding',
            budget=0.02,
            embedding=model_embeddings(model, train),
        )

    The model is run in evaluation mode and without gradients, and is left as
    it was.

    Args:
        model (torch.nn.Module): A model that returns one row a graph.
        dataset (Dataset or list): The graphs.
        layer (str or callable, optional): Where to look: the name of a
            submodule, the input of which is taken (:obj:`"head"`, say), or a
            function of the model and a mini-batch that returns the
            embeddings. Without, it is the first submodule that is given one
            row a graph after the last one that is given one row a node.
            (default: :obj:`None`)
        batch_size (int, optional): The number of graphs of a mini-batch.
            (default: :obj:`256`)
        forward (callable, optional): Calls the model with a mini-batch.
            Without, its arguments are looked up in the batch by their names.
            (default: :obj:`None`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        torch.Tensor: The embeddings of shape :obj:`[num_graphs, D]`, on the
        CPU.

    Raises:
        TypeError: If :obj:`dataset` is one graph.
        ValueError: If it is empty, or there are no such embeddings.
    """
    if isinstance(dataset, Data):
        raise TypeError(
            f"'model_embeddings' expects a data set or a list of graphs (got "
            f"one '{type(dataset).__name__}'); pass [data]"
        )
    if len(dataset) == 0:
        raise ValueError(
            "'model_embeddings' needs at least one graph (got an empty data "
            'set); check the split'
        )
    run = forward or call_by_name
    device = next((p.device for p in model.parameters()), None)
    modes = [(module, module.training) for module in model.modules()]
    name = _check_layer(model, layer)
    out = []
    try:
        model.eval()
        for batch in tqdm(
            DataLoader(dataset, batch_size),
            desc='Embedding graphs',
            disable=not log,
            delay=1,
        ):
            batch = batch.to(device) if device is not None else batch
            with torch.no_grad():
                if callable(layer):
                    value = layer(model, batch)
                else:
                    name = name or _find_head(model, batch, run)
                    value = _input_of(name, model, batch, run)
            out.append(_check_rows(value, batch.num_graphs))
    finally:
        for module, training in modes:
            module.training = training
    return torch.cat(out)


def _check_layer(model: torch.nn.Module, layer: Any) -> str | None:
    if not isinstance(layer, str):
        if layer is None or callable(layer):
            return None
        raise TypeError(
            f"'layer' must be the name of a submodule or a function (got "
            f"{layer!r}); pass 'head', say"
        )
    names = [name for name, _ in model.named_modules() if name]
    if layer not in names:
        raise ValueError(
            f"'layer' must name a submodule of '{type(model).__name__}' (got "
            f'{layer!r}); pass one of {", ".join(names)}'
        )
    return layer


def _find_head(
    model: torch.nn.Module, batch: Data, run: Callable[..., Any]
) -> str:
    remedy = "name the submodule that is given them, as with layer='head'"
    if batch.num_graphs == batch.num_nodes:
        raise ValueError(
            f'embeddings of graphs cannot be told from those of nodes by '
            f'their number (got {batch.num_graphs} of both); {remedy}'
        )
    found: list[str] = []

    def look(name: str, args: tuple, kwargs: dict) -> None:
        rows = [t.size(0) for t in _tensors(args, kwargs)]
        if batch.num_nodes in rows:
            found.clear()
        elif batch.num_graphs in rows[:1]:
            found.append(name)

    _watch(model, batch, run, look)
    if not found:
        raise ValueError(
            f"no submodule of '{type(model).__name__}' is given one row a "
            f'graph after its readout; {remedy}, or pass a function that '
            f'returns them'
        )
    return found[0]


def _input_of(
    layer: str, model: torch.nn.Module, batch: Data, run: Callable[..., Any]
) -> Tensor:
    found: list[Tensor] = []

    def look(name: str, args: tuple, kwargs: dict) -> None:
        # A dropout, say, may be called on nodes, too.
        tensors = _tensors(args, kwargs)
        if name == layer and tensors[0].size(0) == batch.num_graphs:
            found.append(tensors[0])

    _watch(model, batch, run, look)
    if not found:
        raise ValueError(
            f'{layer!r} was never given one row a graph by '
            f"'{type(model).__name__}' (got a batch of {batch.num_graphs} "
            f'graphs); name the submodule that follows the readout'
        )
    return found[0]


def _watch(
    model: torch.nn.Module,
    batch: Data,
    run: Callable[..., Any],
    look: Callable[[str, tuple, dict], None],
) -> None:
    handles = []
    for name, module in model.named_modules():

        def hook(
            _: torch.nn.Module, args: tuple, kwargs: dict, name: str = name
        ) -> None:
            if _tensors(args, kwargs):
                look(name, args, kwargs)

        if name:
            handles.append(
                module.register_forward_pre_hook(hook, with_kwargs=True)
            )
    try:
        run(model, batch)
    finally:
        for handle in handles:
            handle.remove()


def _tensors(args: tuple, kwargs: dict) -> list[Tensor]:
    values = [*args, *kwargs.values()]
    return [v for v in values if isinstance(v, Tensor) and v.dim() > 0]


def _check_rows(value: Any, num_graphs: int) -> Tensor:
    if (
        not isinstance(value, Tensor)
        or value.dim() == 0
        or value.size(0) != num_graphs
    ):
        got = type(value).__name__
        if isinstance(value, Tensor):
            got = str(list(value.size()))
        raise ValueError(
            f'embeddings must have one row a graph (got {got} for '
            f'{num_graphs} graphs); pass a layer that follows the readout'
        )
    return value.detach().reshape(num_graphs, -1).cpu()
