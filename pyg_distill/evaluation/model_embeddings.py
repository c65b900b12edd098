"""The graph embeddings that a trained model feeds to its head."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from pyg_distill.evaluation.exactness import call_by_name

Layer: TypeAlias = str | Callable[[torch.nn.Module, Data], Tensor]


@torch.no_grad()
def model_embeddings(
    model: torch.nn.Module,
    dataset: Dataset | Sequence[Data],
    layer: Layer,
    *,
    batch_size: int = 256,
    forward: Callable[[torch.nn.Module, Data], Any] | None = None,
    log: bool = True,
) -> Tensor:
    r"""Embeds graphs with a trained model, in evaluation mode.

    Herding and k-center usually compare these embeddings. This takes a model
    trained on all graphs and ties the coreset to it:

    .. code-block:: python

        embedding = model_embeddings(model, dataset[train_idx], layer='head')

    Args:
        model (torch.nn.Module): A model that returns one row a graph.
        dataset (Dataset or list): The graphs.
        layer (str or callable): The name of the submodule whose input are the
            embeddings, such as :obj:`"head"`, or a function of the model and
            a mini-batch that returns the embeddings.
        batch_size (int, optional): The number of graphs of a mini-batch.
            (default: :obj:`256`)
        forward (callable, optional): Calls the model with a mini-batch. By
            default, each argument is the attribute of the mini-batch with its
            name. (default: :obj:`None`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        torch.Tensor: The embeddings of shape :obj:`[num_graphs, D]`, on the
        CPU.

    Raises:
        TypeError: If :obj:`dataset` is one graph.
        ValueError: If it is empty, the model has no such submodule, or there
            is not one row a graph.
    """
    if isinstance(dataset, Data):
        raise TypeError(
            f"'dataset' must be a data set or a list of graphs (got one "
            f"'{type(dataset).__name__}'); pass [data]"
        )
    if len(dataset) == 0:
        raise ValueError(
            "'dataset' must hold at least one graph (got none); check the split"
        )
    names = [name for name, _ in model.named_modules() if name]
    if not callable(layer) and layer not in names:
        raise ValueError(
            f"'layer' must name a submodule of '{type(model).__name__}' (got "
            f'{layer!r}); pass one of {", ".join(names)}'
        )
    embed = layer if callable(layer) else _input_of(layer, forward)
    device = next((p.device for p in model.parameters()), None)
    modes = [(module, module.training) for module in model.modules()]
    loader = DataLoader(dataset, batch_size, generator=torch.Generator())
    out = []
    try:
        model.eval()
        for batch in tqdm(loader, 'Embedding graphs', disable=not log, delay=1):
            batch = batch.to(device) if device is not None else batch
            value = embed(model, batch)
            shape = list(value.size()) if isinstance(value, Tensor) else []
            if shape[:1] != [batch.num_graphs]:
                raise ValueError(
                    f"'layer' must give one row a graph (got "
                    f'{shape or type(value).__name__} for {batch.num_graphs} '
                    f'graphs); pass a submodule that follows the readout'
                )
            out.append(value.reshape(batch.num_graphs, -1).cpu())
    finally:
        for module, training in modes:
            module.training = training
    return torch.cat(out)


def _input_of(
    layer: str, forward: Callable[[torch.nn.Module, Data], Any] | None
) -> Callable[[torch.nn.Module, Data], Any]:
    """A function that returns the input of a submodule."""

    def embed(model: torch.nn.Module, batch: Data) -> Any:
        inputs: list[Tensor] = []

        def hook(_: torch.nn.Module, args: tuple, kwargs: dict) -> None:
            inputs.extend([*args, *kwargs.values()][:1])

        handle = model.get_submodule(layer).register_forward_pre_hook(
            hook, with_kwargs=True
        )
        try:
            (forward or call_by_name)(model, batch)
        finally:
            handle.remove()
        # A dropout, say, may be called on nodes, too.
        sizes = [x.size(0) for x in inputs]
        if batch.num_graphs in sizes:
            return inputs[sizes.index(batch.num_graphs)]
        return inputs[0] if inputs else None

    return embed
