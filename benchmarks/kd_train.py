"""Trains the runs of one method together, each with weights of its own."""

from dataclasses import dataclass

import kd_students as students
import torch
from torch.func import functional_call
from torch_geometric import seed_everything


@dataclass(frozen=True)
class Run:
    """A student's seed and the weights of what it learns from."""

    seed: int
    kd: float = 0.0
    weight: float = 0.0


class LibraryLoss:
    """A loss of the library for each run, with parameters of its own."""

    needs_gradients, of_graphs = False, False

    def __init__(self, build, teacher_channels, student_channels, seeds):
        modules = []
        for seed in seeds:
            seed_everything(seed)
            modules.append(build(teacher_channels, student_channels).train())
        self.module = modules[0]
        names = dict(self.module.named_parameters())
        self.parameters = {
            k: torch.stack([dict(m.named_parameters())[k] for m in modules])
            .detach()
            .requires_grad_()
            for k in names
        }
        self.needs_edges = getattr(self.module, 'needs_edge_index', False)
        # Then what is prepared for all nodes can be selected from.
        self.by_node = getattr(self.module, 'granularity', '') == 'node'

    def prepare(self, teacher):
        """What the teacher's layers come to, if the loss can tell."""
        if hasattr(self.module, 'prepare'):
            return self.module.prepare(teacher)
        return teacher

    def __call__(self, parameters, target, layers, **context):
        """The loss of each run."""
        out = []
        for r in range(layers[0].size(0)):
            own = {k: v[r] for k, v in parameters.items()}
            args = target, [x[r] for x in layers]
            out.append(functional_call(self.module, own, args, context))
        return torch.stack(out)


def train(task, runs, make=None, epochs=None):
    """Results of each run, with the epoch that validation data choose.

    A run's layer loss is divided by its value at the first step, so that one
    set of weights suits losses of different scales. No run ends before its
    patience does, and some go on for longer, until a fifth of all are done.
    """
    seeds = [run.seed for run in runs]
    loss = None
    if make is not None:
        teacher_channels = [x.size(1) for x in task.layers]
        _, num_layers, width = task.setting.student
        channels = [width] * num_layers
        loss = make(teacher_channels, channels, seeds)
    own = loss.parameters if loss is not None else {}
    p, buffers = task.start(seeds, loss)
    p = {k: v.requires_grad_() for k, v in p.items()}
    generator = torch.Generator().manual_seed(0)
    seed_everything(0)
    optimizer = torch.optim.Adam(
        [
            {'params': list(p.values()), 'weight_decay': 5e-4},
            *([{'params': list(own.values())}] if own else []),
        ],
        lr=task.lr,
    )
    kd = torch.tensor([run.kd for run in runs])
    weight = torch.tensor([run.weight for run in runs])
    scale = torch.zeros(len(runs))
    alive = torch.arange(len(runs))
    best = torch.full((len(runs), 2), -torch.inf)
    tested, at = torch.zeros(len(runs)), torch.zeros(len(runs)).long()
    last = torch.zeros(len(runs))

    def step(task_loss, taught, out, compare):
        total = task_loss
        if (kd > 0).any():
            total = total + kd[alive] * students.divergence(taught, out)
        if loss is not None:
            value = compare(loss, own, total)
            new = scale[alive] == 0
            inverse = 1.0 / value.detach().clamp(min=1e-8)
            scale[alive] = torch.where(new, inverse, scale[alive])
            total = total + weight[alive] * scale[alive] * value
        optimizer.zero_grad()
        total.sum().backward()
        optimizer.step()

    for number in range(epochs or task.epochs):
        (value, tie), test = task.epoch(step, p, buffers, generator)
        old, last[alive] = best[alive], -tie
        better = (value > old[:, 0]) | (
            (value == old[:, 0]) & (tie > old[:, 1])
        )
        chosen = alive[better]
        best[chosen] = torch.stack([value, tie], 1)[better]
        tested[chosen], at[chosen] = test[better], number
        kept = number - at[alive] < task.patience
        # Not with every run that ends, since a copy of all is made.
        if kept.sum() <= 0.8 * len(kept):
            alive = alive[kept]
            if len(alive) == 0:
                break
            for group in (p, own):
                keep(group, kept, optimizer)
            buffers = {k: v[kept] for k, v in buffers.items()}
    return [
        {
            'seed': run.seed,
            'kd': run.kd,
            'weight': run.weight,
            'val': float(best[i, 0]),
            'loss': -float(best[i, 1]),
            'last_loss': float(last[i]),
            'test': float(tested[i]),
            'epoch': int(at[i]),
            'epochs': number + 1,
        }
        for i, run in enumerate(runs)
    ]


def keep(parameters, kept, optimizer):
    """Goes on with some runs alone."""
    for k, old in parameters.items():
        new = old.detach()[kept].requires_grad_()
        state = optimizer.state.pop(old, {})
        optimizer.state[new] = {
            name: v[kept] if v.dim() else v for name, v in state.items()
        }
        for group in optimizer.param_groups:
            group['params'] = [new if q is old else q for q in group['params']]
        parameters[k] = new
