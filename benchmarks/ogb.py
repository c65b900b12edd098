"""The molecules of OGB, out of the raw files and without its package."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import cumsum


class OGBMolecules(InMemoryDataset):
    r"""A data set :obj:`ogbg-mol*` of the Open Graph Benchmark.

    Reads the raw files of `"Open Graph Benchmark: Datasets for Machine
    Learning on Graphs" <https://arxiv.org/abs/2005.00687>`_ (Hu et al.,
    NeurIPS 2020) from a folder such as :obj:`ogbg_molhiv` with :obj:`raw/` and
    :obj:`split/`, and downloads nothing.

    Atoms are nodes with nine category codes :obj:`x`, bonds are edges in both
    directions with three category codes :obj:`edge_attr`. :obj:`y` has shape
    :obj:`[1]` if there is one task and :obj:`[1, tasks]` otherwise, with
    :obj:`-1` for missing labels.
    """

    def __init__(self, folder, transform=None):
        super().__init__(None, transform)
        self.folder = Path(folder)
        num_nodes = self.read('num-node-list').view(-1)
        num_bonds = self.read('num-edge-list').view(-1)
        bond, edge_attr = self.read('edge'), self.read('edge-feat')
        x, y = self.read('node-feat'), self.read_labels()
        for name, rows, size in [
            ('node-feat', x, int(num_nodes.sum())),
            ('edge', bond, int(num_bonds.sum())),
            ('edge-feat', edge_attr, int(num_bonds.sum())),
            ('graph-label', y, num_nodes.numel()),
        ]:
            if rows.size(0) != size:
                raise ValueError(
                    f"'{name}.csv.gz' must have {size} lines (got "
                    f'{rows.size(0)}); unpack {self.folder} again'
                )
        # The bonds of a graph, and then again in the other direction.
        graph = torch.arange(num_bonds.numel()).repeat_interleave(num_bonds)
        both = torch.cat([2 * graph, 2 * graph + 1]).argsort(stable=True)
        self._data = Data(
            x=x,
            edge_index=torch.cat([bond, bond.flip(1)])[both].t().contiguous(),
            edge_attr=edge_attr.repeat(2, 1)[both],
            y=y.view(-1) if y.size(1) == 1 else y,
        )
        self.slices = {
            'x': cumsum(num_nodes),
            'edge_index': cumsum(2 * num_bonds),
            'edge_attr': cumsum(2 * num_bonds),
            'y': torch.arange(num_nodes.numel() + 1),
        }

    def get_idx_split(self):
        """The indices of the scaffold split: train, valid and test."""
        return {
            name: self.read(name, 'split/scaffold').view(-1)
            for name in ('train', 'valid', 'test')
        }

    def read(self, name, folder='raw'):
        text = self.text(name, folder)
        columns = text.partition('\n')[0].count(',') + 1
        value = np.fromstring(text.replace('\n', ','), dtype=np.int64, sep=',')
        return torch.from_numpy(value).view(-1, columns)

    def read_labels(self):
        # A line of a single task without a label is empty.
        lines = self.text('graph-label', 'raw').removesuffix('\n').split('\n')
        rows = [
            [int(float(v or -1)) for v in line.split(',')] for line in lines
        ]
        return torch.tensor(rows)

    def text(self, name, folder):
        path = self.folder / folder / f'{name}.csv.gz'
        return gzip.decompress(path.read_bytes()).decode()
