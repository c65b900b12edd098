r"""Does a very small student gain from layers that a deeper one has learned?

A student of twice the layers is distilled first, with learned attention. Then
the student of a setting of kd.py starts as it is (`plain`), or from layers of
the deeper one by :func:`~pyg_distill.nn.attention_init`: those with most of the
attention (`most`) or, to tell what attention has to do with it, with least
(`least`). It is trained from labels alone (`ce`), with logits (`kd`), and with
layers and logits (`abkd+kd`), with weights that kd.py has chosen.

.. code-block:: bash

    python benchmarks/kd_init.py --root ROOT --setting cora-gat \
      --kd 64 --abkd 4 1
"""

import argparse
import warnings
from copy import deepcopy
from functools import partial

import torch
import torch.nn.functional as F
from kd_nodes import NodeTask
from kd_report import p_value
from kd_settings import accuracy, build, inputs
from kd_train import LibraryLoss, Run, train
from torch_geometric import seed_everything

from pyg_distill.nn import ABKDLoss, Distiller, KDLoss, attention_init

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument('--root', default='data', help='folder of the data sets')
parser.add_argument('--cache', default='teachers', help='folder of teachers')
parser.add_argument('--setting', default='cora-gat')
parser.add_argument('--kd', type=float, default=16.0, help='weight of logits')
parser.add_argument('--abkd', type=float, nargs=2, default=(4.0, 1.0))
parser.add_argument('--attention', default='uniform')
parser.add_argument('--seeds', type=int, default=10)
parser.add_argument('--deep_epochs', type=int, default=300)
args = parser.parse_args()
torch.set_num_threads(1)
warnings.filterwarnings('ignore', message='.*Sparse.*')


class Teacher(torch.nn.Module):
    """Layers and logits that have been recorded."""

    def __init__(self, task):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Identity() for _ in range(8))
        self.task = task

    def forward(self, *args):
        for layer, x in zip(self.layers, self.task.layers, strict=False):
            layer(x)
        return self.task.logits


class Started(NodeTask):
    """Students that start from the given states."""

    def start(self, seeds, loss):
        p, buffers = super().start(seeds, loss)
        for k in p:
            p[k] = torch.stack([self.states[seed][k] for seed in seeds])
        return p, buffers


def deeper(task, seed):
    """A student of twice the layers, and the attention that it learned."""
    seed_everything(seed)
    kind, num_layers, channels = task.setting.student
    model = build((kind, 2 * num_layers, channels), *task.sizes)
    args_of = inputs(task.data, model)
    distiller = Distiller.from_example(
        model,
        Teacher(task),
        args_of,
        {
            'kd': KDLoss(),
            'abkd': partial(ABKDLoss, attention='learned', max_nodes=512),
        },
        {'kd': args.kd, 'abkd': 1.0},
        teacher_layers=[f'layers.{i}' for i in range(len(task.layers))],
        cache=True,
    )
    groups = [
        {'params': model.parameters(), 'weight_decay': 5e-4},
        {'params': distiller.losses.parameters()},
    ]
    optimizer = torch.optim.Adam(groups, lr=task.lr)
    (some, val, _), best, attention = task.index, -1.0, 0.0
    for _ in range(args.deep_epochs):
        out = distiller.train()(*args_of)
        value = float(accuracy(out.detach()[val], task.y[val]))
        if value > best:
            best, state = value, deepcopy(model.state_dict())
        loss = distiller.loss(F.cross_entropy(out[some], task.y[some]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Of all epochs, since in the end one layer has all of it.
        attention = attention + distiller.losses['abkd'].last_attention
    model.load_state_dict(state)
    mass = ', '.join(f'{m:.2f}' for m in attention.mean(0) / args.deep_epochs)
    print(f'deeper, seed {seed}: val {100 * best:.1f}, attention {mass}')
    return distiller.export(), attention / args.deep_epochs


def states(task):
    """Where the student of each seed starts, by way."""
    out = {'plain': [], 'most': [], 'least': []}
    for seed in range(args.seeds):
        trained, attention = deeper(task, seed)
        # The first layer reads the features and is copied by its name.
        mass = attention[:, 1:].sum(dim=0)
        for way in out:
            seed_everything(seed)
            student = build(task.setting.student, *task.sizes)
            if way != 'plain':
                attention_init(
                    student,
                    trained,
                    mass if way == 'most' else 1.0 / mass,
                    layers=['gnn.convs.1'],
                    trained_layers=[
                        f'gnn.convs.{i + 1}' for i in range(len(mass))
                    ],
                )
            state = {k: v.clone() for k, v in student.state_dict().items()}
            out[way].append(state)
    return out


task = Started(args.setting, args.root, args.cache)
started = states(task)
make = partial(LibraryLoss, partial(ABKDLoss, attention=args.attention))
for row, weights in (
    ('ce', (0.0, 0.0)),
    ('kd', (args.kd, 0.0)),
    ('abkd+kd', tuple(args.abkd)),
):
    runs = [Run(seed, *weights) for seed in range(args.seeds)]
    plain = None
    for way, states_of in started.items():
        task.states = states_of
        results = train(task, runs, make if weights[1] else None)
        test = torch.tensor([100 * r['test'] for r in results])
        epoch = sum(r['epoch'] for r in results) / len(results)
        plain = test if plain is None else plain
        gain = (test - plain).tolist()
        std, mean = torch.std_mean(test, correction=0)
        print(
            f'{args.setting:10} {row:8} {way:6} {mean:.1f} ± {std:.1f}, '
            f'{sum(gain) / len(gain):+.1f} (p {p_value(gain):.3f}), '
            f'epoch {epoch:.0f}',
            flush=True,
        )
