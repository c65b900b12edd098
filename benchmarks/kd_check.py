"""Are students that are trained together those of a plain loop?"""

import torch
import torch.nn.functional as F
from kd_graphs import BATCH_SIZE
from kd_nodes import NodeTask, select
from kd_settings import build, inputs
from kd_train import LibraryLoss, Run, train
from torch_geometric import seed_everything
from torch_geometric.data import Batch

from pyg_distill.nn import KDLoss, LayerRecorder

RUNS = [Run(0, 0.0, 1.0), Run(1, 4.0, 0.1), Run(2, 16.0, 10.0)]


def check(task, make):
    """The largest relative difference of the last validation loss.

    In double precision, since what precedes a batch norm has biases whose
    gradients are rounding errors, and Adam makes steps of these.
    """
    nodes = isinstance(task, NodeTask)
    epochs = 5 if nodes else 1
    together = train(task, RUNS, lambda *args: LibraryLoss(make, *args), epochs)
    loop = of_nodes if nodes else of_graphs
    alone = [Plain(task, run, make, loop, epochs).last_loss for run in RUNS]
    return max(
        abs(a['last_loss'] - b) / b
        for a, b in zip(together, alone, strict=True)
    )


class Plain:
    """One run, by modules of PyG and losses of the library."""

    def __init__(self, task, run, make, loop, epochs):
        self.task, self.run, self.kd = task, run, KDLoss()
        seed_everything(run.seed)
        self.student = build(task.setting.student, *task.sizes)
        self.recorder = LayerRecorder(self.student)
        _, num_layers, width = task.setting.student
        widths = [x.size(1) for x in task.layers]
        seed_everything(run.seed)
        self.loss = make(widths, [width] * num_layers).train()
        self.loss.needs_edges = getattr(self.loss, 'needs_edge_index', False)
        groups = [{'params': self.student.parameters(), 'weight_decay': 5e-4}]
        if own := list(self.loss.parameters()):
            groups += [{'params': own}]
        self.optimizer = torch.optim.Adam(groups, lr=task.lr)
        self.generator = torch.Generator().manual_seed(0)
        self.scale, self.last_loss = None, None
        for _ in range(epochs):
            loop(self)
        self.recorder.remove()

    def prepare(self, layers):
        if hasattr(self.loss, 'prepare'):
            return self.loss.prepare(layers)
        return layers

    def learn(self, task_loss, taught, out, target, layers, context):
        value = self.loss(target, layers, **context)
        if self.scale is None:
            self.scale = 1.0 / float(value.detach())
        total = task_loss + self.run.kd * self.kd(taught, out)
        self.optimizer.zero_grad()
        (total + self.run.weight * self.scale * value).backward()
        self.optimizer.step()

    def judge(self, out, y):
        self.last_loss = float(F.cross_entropy(out, y))


def of_nodes(self):
    task, (train, val, _) = self.task, self.task.index
    out = self.student.train()(*inputs(task.data, self.student))
    layers = self.recorder.features()
    self.judge(out.detach()[val], task.y[val])
    rows, context = task.draw(self.loss, self.generator)
    if getattr(self.loss, 'granularity', '') == 'node':
        target = select(self.prepare(task.layers), rows)
    else:
        target = self.prepare(select(task.layers, rows))
    loss = F.cross_entropy(out[train], task.y[train])
    some = [x[rows] for x in layers]
    self.learn(loss, task.logits, out, target, some, context)


def of_graphs(self):
    task, graphs = self.task, self.task.data.to_data_list()
    train, val, _ = task.splits
    order = torch.randperm(len(train), generator=self.generator)
    for part in train[order].split(BATCH_SIZE):
        data = Batch.from_data_list([graphs[i] for i in part])
        out = self.student.train()(
            data.x, data.edge_index, data.batch, data.num_graphs
        )
        layers, taken = self.recorder.features(), task.take(part)
        rows, context = task.draw(self.loss, taken, self.generator)
        target = self.prepare([x[taken[0][rows]] for x in task.layers])
        loss = F.cross_entropy(out, data.y)
        some = [x[rows] for x in layers]
        self.learn(loss, task.logits[part], out, target, some, context)
    data = Batch.from_data_list([graphs[i] for i in val])
    with torch.no_grad():
        out = self.student.eval()(
            data.x, data.edge_index, data.batch, data.num_graphs
        )
    self.recorder.clear()
    self.judge(out, data.y)
