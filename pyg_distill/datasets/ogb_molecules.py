"""The molecules of OGB, out of the raw files and without its package."""

import gzip
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_distill.datasets.progress import Progress
from pyg_distill.trees.csr import pointer, ragged_range

_MISSING = -1


class OGBMolecules(InMemoryDataset):
    r"""A data set :obj:`ogbg-mol*` of the Open Graph Benchmark.

    Read are the raw files of `"Open Graph Benchmark: Datasets for Machine
    Learning on Graphs" <https://arxiv.org/abs/2005.00687>`_ (Hu et al.,
    NeurIPS 2020) as they are unpacked: a folder such as :obj:`ogbg_molhiv`
    with :obj:`raw/` and :obj:`split/`. Neither :obj:`ogb` nor :obj:`pandas` is
    needed, and nothing is downloaded.

    Atoms are nodes with nine integer features :obj:`x`, bonds are edges in
    both directions with three integer features :obj:`edge_attr`. All of them
    are category codes, see :class:`~pyg_distill.evaluation.OneHot`. There,
    :obj:`y` has shape :obj:`[1]` if there is one task and :obj:`[1, tasks]`
    otherwise, with :obj:`-1` for missing labels.

    Args:
        folder (str): The folder of the data set.
        transform (callable, optional): A function/transform that takes in an
            :obj:`torch_geometric.data.Data` object and returns a transformed
            version. The data object will be transformed before every access.
            (default: :obj:`None`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Raises:
        ValueError: If a file is missing, or files do not fit each other.
    """

    def __init__(
        self,
        folder: str | PathLike,
        transform: Callable | None = None,
        log: bool = True,
    ) -> None:
        super().__init__(None, transform, log=log)
        self._folder = Path(folder)
        with Progress(f'Reading {self._folder.name}', log) as progress:
            self._data, self.slices = self._open(progress)

    def _open(self, progress: Progress) -> tuple[Data, dict[str, Tensor]]:
        progress.stage('numbers of atoms and bonds')
        num_nodes = self._read('num-node-list').view(-1)
        num_bonds = self._read('num-edge-list').view(-1)
        progress.stage('atoms')
        x = self._read('node-feat')
        progress.stage('bonds')
        bond, edge_attr = self._read('edge'), self._read('edge-feat')
        progress.stage('labels')
        y = self._read_labels()
        for name, rows, size in [
            ('node-feat', x, int(num_nodes.sum())),
            ('edge', bond, int(num_bonds.sum())),
            ('edge-feat', edge_attr, int(num_bonds.sum())),
            ('graph-label', y, num_nodes.numel()),
        ]:
            if rows.size(0) != size:
                raise ValueError(
                    f"'{name}.csv.gz' must have {size} lines (got "
                    f'{rows.size(0)}); unpack {self._folder} again'
                )
        # The bonds of a graph, and then again in the other direction.
        graph, offset = ragged_range(num_bonds)
        there = 2 * pointer(num_bonds)[graph] + offset
        back = there + num_bonds[graph]
        both = torch.cat([there, back]).argsort()
        data = Data(
            x=x,
            edge_index=torch.cat([bond, bond.flip(1)])[both].t().contiguous(),
            edge_attr=edge_attr.repeat(2, 1)[both],
            y=y.view(-1) if y.size(1) == 1 else y,
        )
        edge_ptr = pointer(2 * num_bonds)
        return data, {
            'x': pointer(num_nodes),
            'edge_index': edge_ptr,
            'edge_attr': edge_ptr,
            'y': torch.arange(num_nodes.numel() + 1),
        }

    def get_idx_split(self) -> dict[str, Tensor]:
        """The scaffold split of OGB.

        Returns:
            dict: The indices of :obj:`"train"`, :obj:`"valid"` and
            :obj:`"test"`.
        """
        return {
            name: self._read(name, 'split/scaffold').view(-1)
            for name in ('train', 'valid', 'test')
        }

    def _read(self, name: str, folder: str = 'raw') -> Tensor:
        text = self._text(name, folder)
        columns = text.partition(b'\n')[0].count(b',') + 1
        value = np.fromstring(
            text.replace(b'\n', b',').decode(), dtype=np.int64, sep=','
        )
        if value.size % columns:
            raise ValueError(
                f"'{name}.csv.gz' must hold {columns} whole numbers a line "
                f'(got {value.size} numbers); unpack {self._folder} again'
            )
        return torch.from_numpy(value).view(-1, columns)

    def _read_labels(self) -> Tensor:
        lines = self._text('graph-label', 'raw').decode().split('\n')
        # A line of a single task without a label is empty.
        lines = lines[:-1] if lines[-1] == '' else lines
        rows = [
            [int(float(field or _MISSING)) for field in line.strip().split(',')]
            for line in lines
        ]
        return torch.tensor(rows)

    def _text(self, name: str, folder: str) -> bytes:
        path = self._folder / folder / f'{name}.csv.gz'
        if not path.exists():
            raise ValueError(
                f"'folder' must be an unpacked data set of OGB (got no "
                f"'{path}'); pass the folder that holds 'raw' and 'split'"
            )
        return gzip.decompress(path.read_bytes())
