"""Distilled data sets for GraphGym, chosen by the configuration alone."""

import os.path as osp
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.nn import global_root_pool

_NAME = 'mirage'
_KEYS = ['x', 'edge_index', 'edge_attr', 'y', 'weight']
_ROOTS = ['root_index', 'root_count']
_REDUCE: dict[str, Literal['sum', 'mean', 'max']] = {
    'add': 'sum',
    'mean': 'mean',
    'max': 'max',
}


def register_graphgym() -> None:
    r"""Registers distilled data sets with GraphGym.

    Call it before GraphGym reads the configuration. An experiment in graph
    classification then trains on a distilled data set, and validates and tests
    on ordinary graphs, with the configuration

    .. code-block:: yaml

        dataset:
          format: Mirage
          name: TU_NCI1  # Or ToyMolecules.
          task: graph
          task_type: classification
        gnn:
          head: mirage
        mirage:
          budget: 0.1
          selection: frequent  # The default is auto.
          selection_kwargs:
            multiplicity: one

    The data format :obj:`Mirage` splits the data set by
    :obj:`cfg.dataset.split`, drawn from :obj:`cfg.seed`. It distils the
    training graphs for :obj:`cfg.mirage.num_layers` layers, or for
    :obj:`cfg.gnn.layers_mp` if that is 0. The head :obj:`mirage` pools the
    roots of trees, and the loss uses the weight of each graph.

    .. note::
        Set :obj:`cfg.gnn.batchnorm` to :obj:`False` if the distilled data set
        holds tree sets. In trees, other nodes are frequent than in graphs, so
        that running statistics would differ.

    Raises:
        ImportError: If :obj:`yacs`, which GraphGym needs, is not installed.
    """
    try:
        from yacs.config import CfgNode
    except ImportError as error:
        raise ImportError(
            "'yacs' must be installed for GraphGym (got no such package); "
            "pip install 'pyg_distill[graphgym]'"
        ) from error
    from torch_geometric.graphgym import register
    from torch_geometric.graphgym.config import cfg

    def configure(cfg: Any) -> None:
        cfg.mirage = CfgNode()
        cfg.mirage.budget = 0.1
        cfg.mirage.selection = 'auto'
        cfg.mirage.selection_kwargs = CfgNode(new_allowed=True)
        cfg.mirage.num_layers = 0

    if _NAME not in register.config_dict:
        register.register_config(_NAME, configure)
        register.register_loader(_NAME, load_distilled)
        register.register_loss(_NAME, weighted_loss)
        register.register_head(_NAME, _head())
    if _NAME not in cfg:
        configure(cfg)


def load_distilled(
    format: str, name: str, dataset_dir: str
) -> InMemoryDataset | None:
    """Distils the training graphs, and adds the other splits.

    Args:
        format (str): The format of the data, :obj:`"Mirage"` or another one.
        name (str): The name of the data set in GraphGym.
        dataset_dir (str): The folder of data sets.

    Returns:
        InMemoryDataset: All graphs, with the indices of each split as
        GraphGym expects them, or :obj:`None` for another format.

    Raises:
        ValueError: If :obj:`cfg.gnn.head` is another one.
    """
    from torch_geometric.graphgym.config import cfg
    from torch_geometric.graphgym.loader import load_pyg, set_dataset_attr

    if format != 'Mirage':
        return None
    if cfg.gnn.head != _NAME:
        raise ValueError(
            f"'cfg.gnn.head' must be {_NAME!r}, which pools the roots of trees "
            f'(got {cfg.gnn.head!r}); set it in the configuration'
        )
    toy = name == 'ToyMolecules'
    source = ToyMolecules() if toy else load_pyg(name, osp.abspath(dataset_dir))
    generator = torch.Generator().manual_seed(cfg.seed)
    order = torch.randperm(len(source), generator=generator)
    sizes = [round(share * len(source)) for share in cfg.dataset.split[:-1]]
    train_index, *others = order.tensor_split(torch.tensor(sizes).cumsum(0))

    distilled = MirageDataset(
        source[train_index],
        cfg.mirage.num_layers or cfg.gnn.layers_mp,
        budget=cfg.mirage.budget,
        selection=cfg.mirage.selection,
        selection_kwargs=dict(cfg.mirage.selection_kwargs),
        exclude_keys=[] if cfg.dataset.edge_encoder else ['edge_attr'],
    )
    graphs = [
        Data(**{key: data[key] for key in _KEYS + _ROOTS if key in data})
        for data in distilled
    ]
    graphs += [_like(source[i], graphs[0]) for i in torch.cat(others).tolist()]
    dataset = InMemoryDataset()
    dataset.data, dataset.slices = InMemoryDataset.collate(graphs)
    sizes = [len(distilled), *map(len, others)]
    index = torch.arange(len(graphs)).split(sizes)
    for split, chosen in zip(('train', 'val', 'test'), index, strict=False):
        set_dataset_attr(dataset, f'{split}_graph_index', chosen, len(chosen))
    return dataset


def weighted_loss(pred: Tensor, true: Tensor) -> tuple[Tensor, Tensor] | None:
    """Returns the cross entropy with the weights of the graphs.

    Args:
        pred (torch.Tensor): Logits, of shape :obj:`[N, C]`, or :obj:`[N]` of
            two classes.
        true (torch.Tensor): The classes, with an attribute :obj:`weight` that
            the head sets.

    Returns:
        tuple: The loss and the prediction score, or :obj:`None` for labels of
        another head.
    """
    weight = getattr(true, 'weight', None)
    if weight is None:
        return None
    if pred.dim() > 1:
        score = pred.log_softmax(dim=-1)
        loss = F.nll_loss(score, true, reduction='none')
    else:
        score = pred.sigmoid()
        loss = F.binary_cross_entropy_with_logits(
            pred, true.to(pred.dtype), reduction='none'
        )
    return (loss * weight).mean(), score


def _like(data: Data, example: Data) -> Data:
    """Brings an ordinary graph into the form of a distilled one."""
    num_nodes = data.num_nodes or 0
    added = {
        'weight': torch.ones_like(example.weight),
        'root_index': torch.arange(num_nodes),
        'root_count': torch.ones(num_nodes, dtype=torch.long),
        'y': data.y.view(example.y.size()).to(example.y.dtype),
    }
    return Data(
        **{
            key: added[key] if key in added else data[key]
            for key in example.keys()
        }
    )


def _head() -> type[torch.nn.Module]:
    from torch_geometric.graphgym.config import cfg
    from torch_geometric.graphgym.models.head import GNNGraphHead

    class RootHead(GNNGraphHead):
        """Pools the roots of trees, and all nodes of graphs."""

        def forward(self, batch: Data) -> tuple[Tensor, Tensor]:
            """Returns logits and labels, which carry their weights."""
            reduce = _REDUCE[cfg.model.graph_pooling]
            batch.x = global_root_pool(batch.x, batch, reduce)
            true = batch.y.view(-1)
            true.weight = batch.weight
            return self.layer_post_mp(batch.x), true

    return RootHead
