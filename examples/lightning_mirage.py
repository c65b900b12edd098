# Trains a LightningModule on a distilled data set, which goes where any other
# data set would go, and on all graphs.
import argparse
import logging
import tempfile
import warnings

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from torch_geometric import seed_everything
from torch_geometric.data.lightning import LightningDataset
from torch_geometric.datasets import TUDataset
from torch_geometric.nn import GIN

from pyg_distill.datasets import MirageDataset, ToyMolecules
from pyg_distill.nn import global_root_pool

parser = argparse.ArgumentParser()
parser.add_argument('--dataset', default='toy', choices=['toy', 'NCI1'])
parser.add_argument('--root', default='data/TUDataset')
parser.add_argument('--budget', type=float, default=0.1)
parser.add_argument('--num_layers', type=int, default=2)
parser.add_argument('--hidden_channels', type=int, default=64)
parser.add_argument('--lr', type=float, default=0.005)
parser.add_argument('--batch_size', type=int, default=64)
parser.add_argument('--steps', type=int, default=200)
parser.add_argument('--runs', type=int, default=3)
args = parser.parse_args()

# Only what this script prints.
logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
warnings.filterwarnings('ignore', module='lightning')

toy = args.dataset == 'toy'
dataset = ToyMolecules() if toy else TUDataset(args.root, args.dataset)


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        channels = (dataset.num_features, args.hidden_channels)
        self.gnn = GIN(*channels, args.num_layers)
        self.lin = torch.nn.Linear(channels[1], dataset.num_classes)

    def forward(self, data):
        x = self.gnn(data.x, data.edge_index)
        return self.lin(global_root_pool(x, data))

    def training_step(self, data, index):
        target = data.get('target', data.y)  # Of graphs without one, `y`.
        loss = F.cross_entropy(self(data), target, reduction='none')
        return (loss * data.get('weight', 1.0)).mean()

    def validation_step(self, data, index):
        self.log_accuracy('val_acc', data)

    def test_step(self, data, index):
        self.log_accuracy('test_acc', data)

    def log_accuracy(self, name, data):
        acc = (self(data).argmax(dim=-1) == data.y).float().mean()
        self.log(name, acc, batch_size=data.num_graphs)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=args.lr)


def train(train_set, val_set, test_set):
    kwargs = {'batch_size': args.batch_size, 'pin_memory': False}
    datamodule = LightningDataset(train_set, val_set, test_set, **kwargs)
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor='val_acc', mode='max')
        trainer = pl.Trainer(
            max_steps=args.steps,  # As many for a small set as for a large one.
            val_check_interval=min(50, args.steps),
            check_val_every_n_epoch=None,
            callbacks=[best],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Net(), datamodule)
        kwargs = {'ckpt_path': best.best_model_path, 'verbose': False}
        (test,) = trainer.test(datamodule=datamodule, **kwargs)
    return float(best.best_model_score), test['test_acc']


rows = {'full': [], 'distilled': []}
for run in range(args.runs):
    seed_everything(run)
    perm, num = torch.randperm(len(dataset)), len(dataset) // 10
    held_out = dataset[perm[:num]], dataset[perm[num : 2 * num]]
    full = dataset[perm[2 * num :]]
    options = {'budget': args.budget, 'exclude_keys': ['edge_attr']}
    distilled = MirageDataset(full, args.num_layers, **options)
    for name, train_set in {'full': full, 'distilled': distilled}.items():
        seed_everything(run)
        rows[name].append(train(train_set, *held_out))

print(distilled)
print('           Val acc        Test acc')
for name, values in rows.items():
    std, mean = torch.std_mean(torch.tensor(values), dim=0, correction=0)
    (val, acc), (val_std, acc_std) = mean.tolist(), std.tolist()
    print(f'{name:9}  {val:.3f} ± {val_std:.3f}  {acc:.3f} ± {acc_std:.3f}')
