"""The graphs of ogbg-mol* out of the raw files of OGB, without its package."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import Data, InMemoryDataset


def read_ogb(folder, max_graphs=None):
    """Reads a folder such as ogbg_molhiv, with its subfolder raw.

    There, each bond is one edge, of which both directions are made here;
    features are integers, and labels that are missing are -1.
    """

    def read(name):
        path = Path(folder, 'raw', f'{name}.csv.gz')
        return pd.read_csv(path, header=None).to_numpy()

    def cut(value, sizes):
        return torch.from_numpy(value[: sum(sizes)]).split(sizes)

    num_nodes = read('num-node-list')[:max_graphs, 0].tolist()
    num_bonds = read('num-edge-list')[:max_graphs, 0].tolist()
    label = np.nan_to_num(read('graph-label')[:max_graphs], nan=-1)
    data_list = []
    for x, bond, edge_attr, y in zip(
        cut(read('node-feat'), num_nodes),
        cut(read('edge'), num_bonds),
        cut(read('edge-feat'), num_bonds),
        torch.from_numpy(label).long().split(1),
        strict=True,
    ):
        data = Data(x=x, edge_index=torch.cat([bond, bond.flip(1)]).t())
        data.edge_index = data.edge_index.contiguous()
        data.edge_attr = edge_attr.repeat(2, 1)
        data.y = y.view(-1) if y.numel() == 1 else y
        data_list.append(data)
    dataset = InMemoryDataset()
    dataset._data, dataset.slices = InMemoryDataset.collate(data_list)
    return dataset
