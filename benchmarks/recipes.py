"""Data sets, splits and hyper-parameters that all results share.

Learning rates and steps were chosen by the validation ROC-AUC of GCN and GIN
on the full training split; test graphs were not read.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from ogb import OGBMolecules
from torch_geometric.datasets import TUDataset
from torch_geometric.utils import cumsum

from pyg_distill.evaluation import OneHot


@dataclass(frozen=True)
class Recipe:
    """How a data set is read, split and trained on.

    `split_by` is 'class' (80 % / 10 % / 10 % of each class, drawn from the
    seed) or 'scaffold' (that of OGB, which is always the same).
    """

    name: str
    num_layers: int = 2
    hidden_channels: int = 64
    lr: float = 0.001
    batch_size: int = 128
    steps: int = 1000
    split_by: str = 'class'

    def load(self, root):
        """Reads the data set without edge features.

        Nodes without features get their degree as a category code. `root`
        holds `TUDataset/`, as PyG lays it out, and `OGB/` with unpacked
        folders such as `ogbg_molhiv/`.
        """
        if self.split_by == 'scaffold':
            folder = self.name.replace('-', '_')
            dataset = OGBMolecules(Path(root, 'OGB', folder))
        else:
            dataset = TUDataset(str(Path(root, 'TUDataset')), self.name)
        data, slices = dataset._data, dataset.slices
        if 'edge_attr' in slices:
            del data.edge_attr, slices['edge_attr']
        if 'x' not in slices:
            slices['x'] = cumsum(torch.as_tensor(data._num_nodes))
            num_edges = slices['edge_index'].diff()
            start = slices['x'][:-1].repeat_interleave(num_edges)
            target = data.edge_index[1] + start
            size = int(slices['x'][-1])
            data.x = torch.bincount(target, minlength=size).view(-1, 1)
        return dataset

    def split(self, dataset, seed):
        """The indices of the training, validation and test graphs."""
        if isinstance(dataset, OGBMolecules):
            return tuple(dataset.get_idx_split().values())
        generator = torch.Generator().manual_seed(seed)
        label = dataset._data.y.view(-1)
        parts = [[], [], []]
        for c in label.unique().tolist():
            index = (label == c).nonzero().view(-1)
            order = torch.randperm(index.numel(), generator=generator)
            held_out = max(1, round(0.1 * index.numel()))
            sizes = [index.numel() - 2 * held_out, held_out, held_out]
            for part, drawn in zip(
                parts, index[order].split(sizes), strict=True
            ):
                part.append(drawn)
        return tuple(torch.cat(part).sort().values for part in parts)

    def options(self, dataset):
        """The options of `evaluate`."""
        names = ('num_layers', 'hidden_channels', 'lr', 'batch_size', 'steps')
        out = {name: getattr(self, name) for name in (*names, 'name')}
        if not dataset._data.x.is_floating_point():
            out['encode'] = OneHot(dataset)
        return out


# Mini-batches of DD are small because its graphs are large.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe('MUTAG'),
        Recipe('NCI1', lr=0.005, steps=2000),
        Recipe('PROTEINS'),
        Recipe('DD', batch_size=16),
        Recipe('IMDB-BINARY'),
        Recipe('AIDS', lr=0.005),
        Recipe('ogbg-molbace', split_by='scaffold'),
        Recipe('ogbg-molbbbp', lr=0.005, steps=1500, split_by='scaffold'),
        Recipe('ogbg-molhiv', lr=0.005, steps=2000, split_by='scaffold'),
    )
}


def get_recipe(name):
    """The recipe of a data set."""
    return RECIPES[name]


def load_graphs(root, name):
    """Any data set as it is, by name: toy, molhiv or one of TUDataset."""
    if name == 'toy':
        from pyg_distill.datasets import ToyMolecules

        return ToyMolecules()
    if 'mol' in name:
        folder = f'ogbg_{name.removeprefix("ogbg-")}'
        return OGBMolecules(Path(root, 'OGB', folder))
    return TUDataset(str(Path(root, 'TUDataset')), name)
