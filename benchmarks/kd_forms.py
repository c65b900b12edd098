"""Forms of layer matching that are not in the package: what kd.py tried.

They take all runs at once, and are called like LibraryLoss.
"""

import math

import torch

from pyg_distill.nn.losses.attention import fixed_attention
from pyg_distill.nn.losses.rows import normalize_rows

TEMPERATURE = 2.0


class Form:
    """Each student layer is mapped to the width of its target."""

    needs_edges, by_node = False, True

    def __init__(self, task, teacher_channels, student_channels, seeds):
        self.num_students = len(student_channels)
        self.fit(task, len(teacher_channels))
        self.parameters = {}
        for j, width in enumerate(student_channels):
            bound, maps = 1.0 / math.sqrt(width), []
            for seed in seeds:
                generator = torch.Generator().manual_seed(seed)
                weight = torch.empty(width, self.width)
                maps.append(weight.uniform_(-bound, bound, generator=generator))
            self.parameters[f'map{j}'] = torch.stack(maps).requires_grad_()
            bias = torch.zeros(len(seeds), 1, self.width)
            self.parameters[f'bias{j}'] = bias.requires_grad_()

    def __call__(self, own, target, layers):
        total = 0.0
        for j, x in enumerate(layers):
            y = torch.bmm(x, own[f'map{j}']) + own[f'bias{j}']
            total = total + self.distance(y, target, j)
        return total / self.num_students


class Classes(Form):
    """Every student layer predicts what the teacher says, as KDLoss does."""

    def fit(self, task, num_teacher):
        self.width = task.logits.size(1)
        self.log = (task.logits / TEMPERATURE).log_softmax(dim=-1)

    def prepare(self, layers):
        return [self.log]

    def distance(self, y, target, j):
        log = target[0].t().unsqueeze(1)
        # Where a softmax is fast.
        y = (y / TEMPERATURE).permute(2, 0, 1).contiguous().log_softmax(dim=0)
        divergence = (log.exp() * (log - y)).sum(dim=0).mean(dim=-1)
        return TEMPERATURE**2 * divergence


class Components(Form):
    """ABKDLoss, with the first principal components of teacher layers."""

    width = 16

    def fit(self, task, num_teacher):
        weights = fixed_attention('diagonal', num_teacher, self.num_students)
        self.share = weights / weights.sum(dim=0)
        self.maps = []
        for x in task.layers:
            x = normalize_rows(x, center=True, normalize=True)
            self.maps.append(torch.linalg.svd(x.t() @ x)[0][:, : self.width])

    def prepare(self, layers):
        z = torch.stack(
            [
                normalize_rows((x - x.mean(dim=0)) @ map, True, True)
                for x, map in zip(layers, self.maps, strict=True)
            ]
        )
        return list(torch.einsum('ij,inc->jnc', self.share, z))

    def distance(self, y, target, j):
        y = normalize_rows(y, center=True, normalize=True)
        # Apart from a constant, and so that it starts near 2.
        return 2.0 - 2.0 * (y * target[j]).sum(dim=-1).mean(dim=-1)


FORMS = {'classes': Classes, 'components': Components}
