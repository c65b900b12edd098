"""A small data set that is generated in code, without a download."""

from collections.abc import Callable

import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import to_undirected

from pyg_distill.data.progress import Progress
from pyg_distill.datasets.molecules import CLASSES, ORDER, VALENCE, Draw, grow


class ToyMolecules(InMemoryDataset):
    r"""Random molecules whose computation trees are as skewed as real ones.

    They are generated in about a second, without any download: a skeleton of
    rings, chains and branches grows out of small pieces that respect valences,
    and functional groups decorate it. Classes are acids (carboxylic and
    sulfonic ones), bases (primary aliphatic amines) and neutral molecules.
    Neutral ones carry other groups of the same elements, so counting atoms
    does not tell classes apart. As 12% of the labels are drawn anew at random
    and 6% of acids and bases are both, no model is right on more than about
    91% of all molecules.

    Nodes are atoms (hydrogens are left out) with the one-hot
    :obj:`atom_types` as :obj:`x`, edges are bonds (in both directions) with
    the one-hot :obj:`bond_types` as :obj:`edge_attr`. Graph :math:`i` depends
    on :obj:`seed` and :math:`i` only.

    Args:
        num_graphs (int, optional): The number of graphs.
            (default: :obj:`2000`)
        seed (int, optional): The seed of all random choices; global random
            states are neither read nor changed. (default: :obj:`0`)
        transform (callable, optional): A transform of every access.
            (default: :obj:`None`)
        pre_transform (callable, optional): A transform of every graph once it
            is generated. (default: :obj:`None`)
        log (bool, optional): Whether to show progress if it takes long.
            (default: :obj:`True`)

    Attributes:
        atom_types (tuple): The element that each column of :obj:`x` means.
        bond_types (tuple): The bond that each column of :obj:`edge_attr`
            means.
        class_names (tuple): The class that each value of :obj:`y` means.

    Raises:
        ValueError: If :obj:`num_graphs` is smaller than one.

    **STATS** (of the default):

    =======  ======  ======  ==============  ==============  =================
    #graphs  #nodes  #edges  #node features  #edge features  #classes
    =======  ======  ======  ==============  ==============  =================
    2,000    ~21.3   ~44.5   9               4               3 (40%, 36%, 24%)
    =======  ======  ======  ==============  ==============  =================

    Computation trees of depth :math:`L` over all nodes, beside those of NCI1.
    The slope is that of the least-squares line through
    :math:`\log_{10} \textrm{count}` over :math:`\log_{10} \textrm{rank}` of
    the 1,000 most frequent trees. Coverage is the share of all nodes whose
    tree is among the 100 most frequent ones
    (:obj:`benchmarks/toy_molecules.py` measures it, and GNNs on the task):

    ========================  ======================  ======================
    slope and coverage        :math:`L = 2`           :math:`L = 3`
    ========================  ======================  ======================
    with :obj:`edge_attr`     -1.13, 57%              -0.82, 22%
    without :obj:`edge_attr`  -1.30, 71%              -0.88, 30%
    NCI1                      -1.26, 66%              -0.77, 26%
    ========================  ======================  ======================
    """

    atom_types: tuple[str, ...] = tuple(VALENCE)
    bond_types: tuple[str, ...] = tuple(ORDER)
    class_names: tuple[str, ...] = tuple(CLASSES)

    def __init__(
        self,
        num_graphs: int = 2000,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        log: bool = True,
    ) -> None:
        if num_graphs < 1:
            raise ValueError(
                f"'num_graphs' must be 1 or more (got {num_graphs}); pass 1"
            )
        super().__init__(None, transform, pre_transform, log=log)

        data_list = []
        with Progress('Growing molecules', log, num_graphs) as progress:
            for i in range(num_graphs):
                data_list.append(self._generate(seed, i))
                progress.update()
        if pre_transform is not None:
            data_list = [pre_transform(data) for data in data_list]
        self.data, self.slices = self.collate(data_list)

    @property
    def num_classes(self) -> int:
        """The number of classes, also of those that no graph here has."""
        return len(self.class_names)

    def _generate(self, seed: int, index: int) -> Data:
        molecule, kind = grow(Draw(seed, index))
        atom = [self.atom_types.index(element) for element in molecule.atoms]
        source, target, bonds = zip(*molecule.bonds, strict=True)
        bond = [self.bond_types.index(name) for name in bonds]

        x = torch.eye(len(self.atom_types))[atom]
        edge_index, edge_attr = to_undirected(
            torch.tensor([source, target]),
            torch.eye(len(self.bond_types))[bond],
            num_nodes=len(atom),
        )
        y = torch.tensor([self.class_names.index(kind)])
        return Data(x=x, edge_index=edge_index, edge_attr=edge_attr, y=y)
