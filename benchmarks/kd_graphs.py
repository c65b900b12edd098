"""Students of many graphs, in mini-batches."""

import kd_students as students
import torch
from kd_nodes import NUM_ROWS
from kd_settings import SETTINGS, accuracy, area
from kd_teachers import load, record
from torch_geometric.nn import global_mean_pool

BATCH_SIZE = 256


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
        self.means = [
            global_mean_pool(x, data.batch, data.num_graphs)
            for x in self.layers
        ]
        self.held = [self.take(split) for split in self.splits[1:]]

    def take(self, graphs):
        """The nodes, adjacency, pooling matrix and targets of some graphs."""
        sizes = self.ptr[graphs + 1] - self.ptr[graphs]
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        nodes = students.ranges(self.ptr[graphs], sizes)
        batch = torch.arange(len(graphs)).repeat_interleave(sizes)
        degree = self.degree[nodes]
        edges = students.ranges(self.crow[nodes], degree)
        shift = (ptr[:-1] - self.ptr[graphs])[batch]
        col = self.col[edges] + shift.repeat_interleave(degree)
        crow = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        num = nodes.numel()
        adj = students.csr(crow, col, (num, num))
        pool = students.csr(ptr, torch.arange(num), (len(graphs), num))
        back = students.csr(torch.arange(num + 1), batch, (num, len(graphs)))
        return nodes, (adj, adj), (pool, back), batch

    def mean(self, x, part):
        """The mean of each graph's nodes."""
        _, _, pool, batch = part
        return students.propagate(x, pool) / torch.bincount(batch)[:, None]

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

            def compare(
                loss,
                own,
                total,
                graphs=graphs,
                part=part,
                layers=layers,
                out=out,
            ):
                if loss.of_graphs:
                    target = loss.prepare([x[graphs] for x in self.means])
                    some = [self.mean(x, part) for x in layers]
                    some = [students.by_run(x, out.size(2)) for x in some]
                    return loss(own, target, some)
                nodes = part[0]
                rows, context = self.draw(loss, part, generator)
                target = loss.prepare([x[nodes[rows]] for x in self.layers])
                some = [students.by_run(x[rows], out.size(2)) for x in layers]
                if loss.needs_gradients:
                    context['gradients'] = students.gradients(
                        total, layers, rows
                    )
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
