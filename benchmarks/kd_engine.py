"""Trains the runs of one method together, each as if it were alone."""

from dataclasses import dataclass

import kd_students as students
import torch
from kd_settings import SETTINGS, accuracy, area, inputs, is_sparse, load
from torch.func import functional_call
from torch_geometric import seed_everything
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from pyg_distill.nn import LayerRecorder

# A teacher of more layers shows only so many, evenly spaced, to every method.
MAX_LAYERS = 8
# Nodes whose layers are compared in a step, drawn anew in each.
NUM_ROWS = 512
BATCH_SIZE = 256


@dataclass(frozen=True)
class Run:
    """A student's seed and the weights of what it learns from."""

    seed: int
    kd: float = 0.0
    weight: float = 0.0


class LibraryLoss:
    """A loss of the library for each run, with parameters of its own."""

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


def select(target, index):
    """Rows of layers, or of what a loss made of them."""
    if isinstance(target, list):
        return [x[index] for x in target]
    return target.select(index)


class NodeTask:
    """All nodes of a graph in every step."""

    lr, patience, epochs = 0.01, 150, 1500

    def __init__(self, name, root, cache):
        self.setting = SETTINGS[name]
        data, teacher = load(name, root, cache)
        self.data, self.y = data, data.y
        num_classes = int(data.y.max()) + 1
        self.sizes = data.num_features, num_classes
        self.masks = data.train_mask, data.val_mask, data.test_mask
        self.pick = self.y.view(1, -1, 1)
        self.layers, self.logits = record(teacher, inputs(data, teacher))
        adj = data.adj_t
        self.crow, self.col = adj.crow_indices(), adj.col_indices()
        self.degree = self.crow.diff()
        self.adj = students.transpose_pair(gcn_norm(data.adj_t)[0])
        self.x = data.x
        if is_sparse(data.x):
            self.x = students.transpose_pair(data.x.to_sparse_csr())
        self.forward = getattr(students, self.setting.student[0])
        self.index = [mask.nonzero().view(-1) for mask in self.masks]

    def judge_teacher(self):
        """The teacher's results on validation and test data."""
        return [accuracy(self.logits[i], self.y[i]) for i in self.index[1:]]

    def start(self, seeds, loss):
        self.target = self.layers
        if loss is not None and loss.by_node:
            self.target = loss.prepare(self.layers)
        return students.stack(self.setting.student, *self.sizes, seeds)

    def epoch(self, step, p, buffers, generator):
        layers, out = self.forward(p, self.x, self.adj, self.setting.student[1])
        out = students.class_first(out, self.sizes[1])
        log = out.log_softmax(dim=0)
        with torch.no_grad():
            train, val, test = self.index
            # Much faster than argmax.
            own = out.gather(0, self.pick.expand(1, -1, out.size(2)))[0]
            right = (own >= out.amax(dim=0)).to(out.dtype)
            loss = students.cross_entropy(log[:, val], self.y[val])
            result = right[val].mean(dim=0), -loss
        task = students.cross_entropy(log[:, train], self.y[train])

        def compare(loss, own):
            rows, context = self.draw(loss, generator)
            target = select(self.target, rows)
            if not loss.by_node:
                target = loss.prepare(target)
            some = [by_run(x[rows], out.size(2)) for x in layers]
            return loss(own, target, some, **context)

        step(task, self.logits, out, compare)
        return result, right[test].mean(dim=0)

    def draw(self, loss, generator):
        """The nodes to compare, and the edges between them if need be."""
        rows = torch.randperm(len(self.y), generator=generator)[:NUM_ROWS]
        if not loss.needs_edges:
            return rows, {}
        # With all neighbours of the nodes that are drawn.
        degree = self.degree[rows]
        source = self.col[ranges(self.crow[rows], degree)]
        edges = torch.stack([source, rows.repeat_interleave(degree)])
        rows, index = edges.unique(return_inverse=True)
        return rows, {'edge_index': index}


def by_run(x, num_runs):
    """A layer [N, R * H] as [R, N, H]."""
    return x.view(x.size(0), num_runs, -1).transpose(0, 1)


def record(teacher, inputs):
    recorder = LayerRecorder(teacher, detach=True)
    with torch.no_grad():
        logits = teacher.eval()(*inputs)
    layers = [x.clone() for x in recorder.features()]
    recorder.remove()
    if len(layers) > MAX_LAYERS:
        every = len(layers) // MAX_LAYERS
        layers = layers[every - 1 :: every]
    return layers, logits


class GraphTask:
    """Mini-batches of graphs, which all runs see in the same order."""

    lr, patience, epochs = 0.005, 25, 150

    def __init__(self, name, root, cache):
        self.setting = SETTINGS[name]
        data, teacher = load(name, root, cache)
        self.sizes = data.x.size(1), int(data.y.max()) + 1
        self.data, self.y = data, data.y
        self.ptr, self.batch = data.ptr, data.batch
        self.splits = data.splits
        row, col = data.edge_index
        order = torch.argsort(col * data.num_nodes + row)
        self.col = row[order]
        self.degree = torch.bincount(col, minlength=data.num_nodes)
        self.crow = torch.cat([col.new_zeros(1), self.degree.cumsum(0)])
        self.x = data.x.clone()
        self.x.index_add_(0, col, data.x[row])
        self.layers, self.logits = record(
            teacher, (data.x, data.edge_index, data.batch, data.num_graphs)
        )
        self.metric = area if self.setting.dataset == 'molhiv' else accuracy
        self.held = [self.take(split) for split in self.splits[1:]]

    def take(self, graphs):
        """The nodes, adjacency, pooling matrix and targets of some graphs."""
        sizes = self.ptr[graphs + 1] - self.ptr[graphs]
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        nodes = ranges(self.ptr[graphs], sizes)
        batch = torch.arange(len(graphs)).repeat_interleave(sizes)
        degree = self.degree[nodes]
        edges = ranges(self.crow[nodes], degree)
        shift = (ptr[:-1] - self.ptr[graphs])[batch]
        col = self.col[edges] + shift.repeat_interleave(degree)
        crow = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        num = nodes.numel()
        adj = csr(crow, col, (num, num))
        pool = csr(ptr, torch.arange(num), (len(graphs), num))
        back = csr(torch.arange(num + 1), batch, (num, len(graphs)))
        return nodes, (adj, adj), (pool, back), batch

    def draw(self, loss, part, generator):
        """The nodes to compare, and the edges between them if need be."""
        nodes, (adj, _), _, batch = part
        rows = torch.randperm(len(nodes), generator=generator)[:NUM_ROWS]
        if not loss.needs_edges:
            return rows, {}
        # Whole graphs, which come in random order anyway.
        last = min(NUM_ROWS, len(nodes)) - 1
        rows = (batch <= batch[last]).nonzero().view(-1)
        crow = adj.crow_indices()[: len(rows) + 1]
        source = adj.col_indices()[: crow[-1]]
        sink = rows.repeat_interleave(crow.diff())
        return rows, {'edge_index': torch.stack([source, sink])}

    def student(self, p, buffers, part, training):
        nodes, adj, pool, _ = part
        depth = self.setting.student[1]
        x = self.x[nodes]
        return students.gin(p, buffers, x, adj, pool, depth, training)

    def judge_teacher(self):
        """The teacher's results on validation and test data."""
        return [
            self.metric(self.logits[i].unsqueeze(0), self.y[i])[0]
            for i in self.splits[1:]
        ]

    def start(self, seeds, loss):
        return students.stack(self.setting.student, *self.sizes, seeds)

    def epoch(self, step, p, buffers, generator):
        train = self.splits[0]
        order = torch.randperm(len(train), generator=generator)
        for graphs in train[order].split(BATCH_SIZE):
            part = self.take(graphs)
            layers, out = self.student(p, buffers, part, True)
            out = students.class_first(out, self.sizes[1])
            task = students.cross_entropy(out.log_softmax(0), self.y[graphs])

            def compare(loss, own, part=part, layers=layers, out=out):
                nodes = part[0]
                rows, context = self.draw(loss, part, generator)
                target = loss.prepare([x[nodes[rows]] for x in self.layers])
                some = [by_run(x[rows], out.size(2)) for x in layers]
                return loss(own, target, some, **context)

            step(task, self.logits[graphs], out, compare)
        results = []
        with torch.no_grad():
            for split, part in zip(self.splits[1:], self.held, strict=True):
                out = self.student(p, buffers, part, False)[1]
                out, y = students.class_first(out, self.sizes[1]), self.y[split]
                loss = students.cross_entropy(out.log_softmax(dim=0), y)
                value = self.metric(out.permute(2, 1, 0), y).to(loss.dtype)
                results.append((value, -loss))
        return results[0], results[1][0]


def ranges(start, size):
    """All numbers from each start on, as many as its size."""
    end = size.cumsum(0)
    shift = (start - end + size).repeat_interleave(size)
    return torch.arange(int(size.sum())) + shift


def csr(crow, col, size):
    return torch.sparse_csr_tensor(crow, col, torch.ones(len(col)), size)


def train(task, runs, make=None, epochs=None, decay=None):
    """Results of each run, with the epoch that validation data choose.

    A run's layer loss is divided by its value at the first step, so that one
    set of weights suits losses of different scales. With `decay` it falls to 0
    within so many epochs.
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
        factor = 1.0 if decay is None else max(0.0, 1.0 - number / decay)
        if loss is not None and factor > 0:
            value = compare(loss, own)
            new = scale[alive] == 0
            inverse = 1.0 / value.detach().clamp(min=1e-8)
            scale[alive] = torch.where(new, inverse, scale[alive])
            total = total + factor * weight[alive] * scale[alive] * value
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
