# Compresses a graph classifier in a LightningModule: a Distiller stands where
# the student would stand.
import argparse
import logging
import warnings

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch_geometric import seed_everything
from torch_geometric.data.lightning import LightningDataset
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GIN, global_add_pool

from pyg_distill.datasets import ToyMolecules
from pyg_distill.nn import Distiller

parser = argparse.ArgumentParser()
parser.add_argument('--dataset', default='toy', choices=['toy', 'NCI1'])
parser.add_argument('--root', default='data/TUDataset')
parser.add_argument('--teacher_layers', type=int, default=3)
parser.add_argument('--teacher_channels', type=int, default=64)
parser.add_argument('--num_layers', type=int, default=2)
parser.add_argument('--hidden_channels', type=int, default=8)
parser.add_argument('--kd_weight', type=float, default=4.0)
parser.add_argument('--abkd_weight', type=float, default=1.0)
parser.add_argument('--lr', type=float, default=0.005)
parser.add_argument('--batch_size', type=int, default=128)
parser.add_argument('--epochs', type=int, default=10)
parser.add_argument('--runs', type=int, default=3)
args = parser.parse_args()

# Only what this script prints.
logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
warnings.filterwarnings('ignore', module='lightning')

toy = args.dataset == 'toy'
dataset = ToyMolecules() if toy else TUDataset(args.root, args.dataset)


class Net(torch.nn.Module):
    def __init__(self, hidden_channels, num_layers):
        super().__init__()
        self.gnn = GIN(dataset.num_features, hidden_channels, num_layers)
        self.lin = torch.nn.Linear(hidden_channels, dataset.num_classes)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_add_pool(x, data.batch, data.num_graphs))


class Classifier(pl.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, data, index):
        return F.cross_entropy(self.model(data), data.y)

    def test_step(self, data, index):
        acc = (self.model(data).argmax(dim=-1) == data.y).float().mean()
        self.log('test_acc', acc, batch_size=data.num_graphs)

    def configure_optimizers(self):
        return torch.optim.Adam(self.model.parameters(), lr=args.lr)


class Distillation(Classifier):
    """The model is a Distiller. Checkpoints do not hold the teacher."""

    def training_step(self, data, index):
        return self.model.loss(super().training_step(data, index))

    def configure_optimizers(self):
        return torch.optim.Adam(self.model.parameter_groups(lr=args.lr))


def train(module):
    trainer = pl.Trainer(
        max_epochs=args.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule)
    (test,) = trainer.test(module, datamodule, verbose=False)
    return test['test_acc']


weights = {'abkd': args.abkd_weight, 'kd': args.kd_weight}
rows = {'teacher': [], 'student alone': [], 'student': []}
for run in range(args.runs):
    seed_everything(run)
    perm, num = torch.randperm(len(dataset)), len(dataset) // 5
    train_set, test_set = dataset[perm[num:]], dataset[perm[:num]]
    kwargs = {'batch_size': args.batch_size, 'pin_memory': False}
    datamodule = LightningDataset(train_set, None, test_set, **kwargs)
    teacher = Net(args.teacher_channels, args.teacher_layers)
    rows['teacher'].append(train(Classifier(teacher)))
    seed_everything(run)
    student = Net(args.hidden_channels, args.num_layers)
    rows['student alone'].append(train(Classifier(student)))
    seed_everything(run)
    student = Net(args.hidden_channels, args.num_layers)
    example = (next(iter(DataLoader(train_set, batch_size=64))),)
    distiller = Distiller.from_example(
        student, teacher, example, weights=weights
    )
    rows['student'].append(train(Distillation(distiller)))

print(f'{distiller}\n               Test acc')
for name, values in rows.items():
    std, mean = torch.std_mean(torch.tensor(values), correction=0)
    print(f'{name:13}  {mean:.3f} ± {std:.3f}')
