"""Trains one student of kd.py, in a plain loop over modules of PyG."""

import torch
import torch.nn.functional as F
from kd_settings import build, graph_inputs, node_inputs
from torch_geometric import seed_everything

from pyg_distill.nn import KDLoss, LayerRecorder

# Nodes whose layers are compared in a step, drawn anew in each.
NUM_ROWS = 512


def train(task, seed, kd, weight, make_loss=None, epochs=None):
    """Results of the epoch that validation data choose.

    The layer loss is divided by its value at the first step, so that one set of
    weights suits losses of different scales.
    """
    seed_everything(seed)
    student = build(task.setting.student, *task.sizes)
    recorder = LayerRecorder(student)
    _, num_layers, width = task.setting.student
    loss = None
    if make_loss is not None:
        seed_everything(seed)
        channels = [x.size(1) for x in task.layers], [width] * num_layers
        loss = make_loss(*channels).train()
    groups = [{'params': student.parameters(), 'weight_decay': 5e-4}]
    if loss is not None and list(loss.parameters()):
        groups.append({'params': loss.parameters()})
    lr, patience, limit = (0.005, 25, 150) if task.graphs else (0.01, 150, 1500)
    optimizer = torch.optim.Adam(groups, lr=lr)
    generator = torch.Generator().manual_seed(0)
    seed_everything(0)
    scale, kd_loss = None, KDLoss()

    def step(out, y, teacher_out, compare):
        nonlocal scale
        total = F.cross_entropy(out, y)
        if kd > 0:
            total = total + kd * kd_loss(*teacher_out)
        if loss is not None:
            value = compare()
            if scale is None:
                scale = 1.0 / max(float(value.detach()), 1e-8)
            total = total + weight * scale * value
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    run_epoch = graph_epochs if task.graphs else node_epochs
    best, out = (-1.0, 0.0), {}
    run = run_epoch(task, student, recorder, loss, step, generator)
    for epoch in range(epochs or limit):
        val, val_loss, test = next(run)
        if (val, -val_loss) > best:
            best = val, -val_loss
            out = {'val': val, 'loss': val_loss, 'test': test, 'epoch': epoch}
        if epoch - out['epoch'] >= patience:
            break
    recorder.remove()
    return {'seed': seed, 'kd': kd, 'weight': weight, **out}


def node_epochs(task, student, recorder, loss, step, generator):
    """All nodes in every step; yields the results before it."""
    data, y, (train, val, test) = task.data, task.data.y, task.splits
    args = node_inputs(data, student.train())
    prepared = None
    if loss is not None and loss.can_prepare and loss.target_level == 'node':
        prepared = loss.prepare(task.layers)
    while True:
        out = student(*args)
        layers = recorder.features()
        with torch.no_grad():
            val_loss = float(F.cross_entropy(out[val], y[val]))
            results = [
                task.metric(out[index], y[index]) for index in (val, test)
            ]

        def compare(layers=layers):
            rows = torch.randperm(len(y), generator=generator)[:NUM_ROWS]
            context = {}
            if loss.needs_edges:  # All neighbors of these nodes take part.
                is_drawn = torch.zeros(len(y), dtype=torch.bool)
                is_drawn[rows] = True
                edges = data.edge_index[:, is_drawn[data.edge_index[1]]]
                rows, edges = edges.unique(return_inverse=True)
                context['edge_index'] = edges
            target = [x[rows] for x in task.layers]
            if prepared is not None:
                target = prepared.select(rows)
            return loss(target, [x[rows] for x in layers], **context)

        step(out[train], y[train], (task.logits, out), compare)
        yield results[0], val_loss, results[1]


def graph_epochs(task, student, recorder, loss, step, generator):
    """Mini-batches of graphs; yields the results after each epoch."""
    loader = task.loader(0, 256, shuffle=True, generator=generator)
    held_out = [next(iter(task.loader(i, len(task.graphs)))) for i in (1, 2)]
    while True:
        student.train()
        for data in loader:
            out = student(*graph_inputs(data))
            layers = recorder.features()

            def compare(data=data, layers=layers):
                num = data.num_nodes
                rows = torch.randperm(num, generator=generator)[:NUM_ROWS]
                context = {}
                if loss.needs_batch:
                    rows = torch.arange(num)
                    context = {'batch': data.batch, 'size': data.num_graphs}
                elif loss.needs_edges:  # Whole graphs, in their random order.
                    last = data.batch[min(NUM_ROWS, num) - 1]
                    rows = torch.arange(int(data.ptr[last + 1]))
                    edges = data.edge_index
                    context['edge_index'] = edges[:, edges[0] < len(rows)]
                target = [x[data.n_id[rows]] for x in task.layers]
                return loss(target, [x[rows] for x in layers], **context)

            step(out, data.y, (task.logits[data.g_id], out), compare)
        with torch.no_grad():
            student.eval()
            outs = [student(*graph_inputs(data)) for data in held_out]
        recorder.clear()
        (val, test), (val_out, _) = held_out, outs
        results = [task.metric(outs[0], val.y), task.metric(outs[1], test.y)]
        val_loss = float(F.cross_entropy(val_out, val.y))
        yield results[0], val_loss, results[1]
