"""A distilled data set for GraphGym, by its configuration alone."""

import os.path as osp
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.nn import global_root_pool

_NAME = 'mirage'
_REDUCE = {'add': 'sum', 'mean': 'mean', 'max': 'max'}


def register_graphgym() -> None:
    r"""Makes distilled data sets known to GraphGym.

    Call it before the configuration is read. Then a graph classification
    experiment trains on a distilled data set, and is validated and tested on
    graphs, if its configuration says

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

    The data format :obj:`Mirage` splits the data set by
    :obj:`cfg.dataset.split`, drawn from :obj:`cfg.seed`, and distils the
    training graphs, for :obj:`cfg.gnn.layers_mp` layers if
    :obj:`cfg.mirage.num_layers` is 0. The head :obj:`mirage` pools the roots
    of trees, and the loss weighs each graph.

    .. note::
        Set :obj:`cfg.gnn.batchnorm` to :obj:`False` if what is kept are tree
        sets: its statistics would be those of trees, in which other nodes are
        frequent than in graphs.

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
        cfg.mirage.selection = ''  # The default of MirageDataset.
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
    """Distils the training graphs, and puts them beside those held out.

    Args:
        format (str): The format of the data, :obj:`"Mirage"` or another one.
        name (str): The name of the data set, as GraphGym has it.
        dataset_dir (str): The folder of data sets.

    Returns:
        InMemoryDataset: All graphs, with the indices of each split as
        GraphGym expects them, or :obj:`None` for another format.
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
    parts = order.tensor_split(torch.tensor(sizes).cumsum(0))

    distilled = MirageDataset(
        source[parts[0]],
        cfg.mirage.num_layers or cfg.gnn.layers_mp,
        selection=cfg.mirage.selection or None,
        budget=cfg.mirage.budget,
        exclude_keys=[] if cfg.dataset.edge_encoder else ['edge_attr'],
    )
    keys = ['x', 'edge_index', 'edge_attr', 'y', 'weight']
    graphs = [_select(data, keys) for data in distilled]
    held_out = [source[i] for i in torch.cat(parts[1:]).tolist()]
    graphs += [_select(data, keys, graphs[0]) for data in held_out]
    dataset = InMemoryDataset()
    dataset.data, dataset.slices = InMemoryDataset.collate(graphs)
    sizes = [len(distilled), *(len(part) for part in parts[1:])]
    index = torch.arange(len(graphs)).split(sizes)
    for split, chosen in zip(('train', 'val', 'test'), index, strict=False):
        set_dataset_attr(dataset, f'{split}_graph_index', chosen, len(chosen))
    return dataset


def weighted_loss(pred: Tensor, true: Tensor) -> tuple[Tensor, Tensor] | None:
    """The cross entropy, weighted as the head says.

    Args:
        pred (torch.Tensor): Logits, of shape :obj:`[N, C]`, or :obj:`[N]` of
            two classes.
        true (torch.Tensor): The classes, with an attribute :obj:`weight`.

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


def _select(data: Data, keys: list[str], like: Data | None = None) -> Data:
    """The attributes to train on, in the form of a distilled graph."""
    names = [*keys, 'root_index', 'root_count']
    out = Data(**{key: data[key] for key in names if key in data})
    if like is None:
        return out
    # All nodes of an ordinary graph are roots, and it counts once.
    number = data.num_nodes or 0
    if 'root_index' in like:
        out.root_index = torch.arange(number)
        out.root_count = torch.ones(number, dtype=torch.long)
    out.weight = torch.ones_like(like.weight)
    out.y = out.y.view(like.y.size()).to(like.y.dtype)
    return Data(**{key: out[key] for key in like.keys()})


def _head() -> type[torch.nn.Module]:
    from torch_geometric.graphgym.config import cfg
    from torch_geometric.graphgym.models.head import GNNGraphHead

    class RootHead(GNNGraphHead):
        """Pools the roots of trees, and all nodes of graphs."""

        def forward(self, batch: Data) -> tuple[Tensor, Tensor]:
            """Returns logits and labels, which carry their weights."""
            batch.x = global_root_pool(
                batch.x,
                batch.batch,
                batch.get('root_index'),
                batch.get('root_count'),
                batch.num_graphs,
                _REDUCE[cfg.model.graph_pooling],
            )
            true = batch.y.view(-1)
            true.weight = batch.weight
            return self.layer_post_mp(batch.x), true

    return RootHead
