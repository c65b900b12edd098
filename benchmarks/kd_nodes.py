"""Students of one graph, all of its nodes in every step."""

import kd_students as students
import torch
from kd_settings import SETTINGS, accuracy, inputs, is_sparse
from kd_teachers import load, record
from torch_geometric.nn.conv.gcn_conv import gcn_norm

# Nodes whose layers are compared in a step, drawn anew in each.
NUM_ROWS = 512


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

        def compare(loss, own, total):
            rows, context = self.draw(loss, generator)
            target = select(self.target, rows)
            if not loss.by_node:
                target = loss.prepare(target)
            some = [students.by_run(x[rows], out.size(2)) for x in layers]
            if loss.needs_gradients:
                context['gradients'] = students.gradients(total, layers, rows)
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
        source = self.col[students.ranges(self.crow[rows], degree)]
        edges = torch.stack([source, rows.repeat_interleave(degree)])
        rows, index = edges.unique(return_inverse=True)
        return rows, {'edge_index': index}
