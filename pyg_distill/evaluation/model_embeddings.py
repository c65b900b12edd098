"""The graph embeddings that a trained model feeds to its head."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.dataset import Dataset
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from pyg_distill.evaluation.exactness import call_by_name


@torch.no_grad()
def model_embeddings(
    model: torch.nn.Module,
    dataset: Dataset | Sequence[Data],
    layer: str,
    *,
    batch_size: int = 256,
    log: bool = True,
) -> Tensor:
    r"""Embeds graphs with a trained model, in evaluation mode.

    Herding and k-center usually compare these embeddings. This takes a model
    trained on all graphs and ties the coreset to it:

    .. code-block:: python

        embedding = model_embeddings(model, dataset[train_idx], layer='head')

    Args:
        model (torch.nn.Module): A model for graphs. Each of its arguments is
            the attribute of a mini-batch with the same name.
        dataset (Dataset or list): The graphs.
        layer (str): The name of the submodule whose input are the embeddings,
            one row a graph.
        batch_size (int, optional): The number of graphs of a mini-batch.
            (default: :obj:`256`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Returns:
        torch.Tensor: The embeddings of shape :obj:`[num_graphs, D]`, on the
        CPU.

    Raises:
        AttributeError: If the model has no such submodule.
        ValueError: If there are no graphs, or the input of the submodule is
            not one row a graph.
    """
    if isinstance(dataset, Data) or len(dataset) == 0:
        raise ValueError(
            f"'dataset' must hold graphs (got {dataset}); pass a slice of a "
            f'data set, or [data]'
        )
    device = next((p.device for p in model.parameters()), 'cpu')
    model = copy.deepcopy(model).eval()
    inputs: list[Tensor] = []

    def hook(_: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        inputs.extend([*args, *kwargs.values()][:1])

    submodule = model.get_submodule(layer)
    submodule.register_forward_pre_hook(hook, with_kwargs=True)
    loader = DataLoader(dataset, batch_size, generator=torch.Generator())
    out = []
    for batch in tqdm(loader, 'Embedding graphs', disable=not log, delay=1):
        inputs.clear()
        call_by_name(model, batch.to(device))
        # A dropout, say, may be called on nodes, too.
        rows = [x for x in inputs if x.size(0) == batch.num_graphs]
        if not rows:
            raise ValueError(
                f"'layer' must get one row a graph (got no such input of "
                f'{layer!r}); pass a submodule after the readout'
            )
        out.append(rows[0].reshape(batch.num_graphs, -1).cpu())
    return torch.cat(out)
