# The graphs of the examples for node classification, and a deep network.
import torch
import torch.nn.functional as F
import torch_geometric.transforms as T
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.datasets import Amazon, Coauthor, Planetoid
from torch_geometric.nn import GCN2Conv
from torch_geometric.utils import stochastic_blockmodel_graph

CLASSES = {'Cora': Planetoid, 'Computers': Amazon, 'CS': Coauthor}
NAMES = ['toy', *CLASSES]


def load(root, name, num_train_per_class=20):
    seed_everything(0)
    if name == 'toy':
        y = torch.arange(5).repeat_interleave(200)
        probs = torch.full((5, 5), 0.0025).fill_diagonal_(0.025)
        edge_index = stochastic_blockmodel_graph(y.bincount(), probs)
        data = Data(torch.randn(1000, 32) + F.one_hot(y, 32), edge_index, y=y)
    else:
        cls = CLASSES[name]
        data = cls(f'{root}/{cls.__name__}', name)[0]
        data.x = F.normalize(data.x, p=1 if name == 'Cora' else 2)
    if name == 'Cora':  # Which has a public split.
        return data
    num_val = 30 * (int(data.y.max()) + 1)
    args = ('test_rest', 1, num_train_per_class, num_val)
    return T.RandomNodeSplit(*args)(data)


class GCNII(torch.nn.Module):
    def __init__(self, in_channels, channels, num_layers, out, dropout=0.0):
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.lin1 = torch.nn.Linear(in_channels, channels)
        self.convs = torch.nn.ModuleList(
            GCN2Conv(channels, 0.1, 0.5, layer + 1, cached=True)
            for layer in range(num_layers)
        )
        self.lin2 = torch.nn.Linear(channels, out)

    def forward(self, x, adj_t):
        x = x if x.is_sparse_csr else self.dropout(x)
        x = x0 = self.dropout(self.lin1(x).relu())
        for conv in self.convs:
            x = conv(self.dropout(x), x0, adj_t).relu()
        return self.lin2(self.dropout(x))
