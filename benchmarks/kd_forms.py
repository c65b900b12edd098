"""Forms of layer matching that kd.py tried.

They take all runs at once, and are called like LibraryLoss. Attention over
pairs of layers is in kd_attention.py.
"""

import math

import torch
from pyg_distill.nn.losses.attention import FIXED, fixed_attention
from pyg_distill.nn.losses.rows import normalize_rows

TEMPERATURE = 2.0


def draw(seeds, *size, number=0):
    """A parameter as torch.nn.Linear has it, for each run.

    Parameters of one number and size begin alike.
    """
    out = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed + 1000 * number)
        bound = 1.0 / math.sqrt(size[-2])
        value = torch.empty(size).uniform_(-bound, bound, generator=generator)
        out.append(value)
    return torch.stack(out).requires_grad_()


class Form:
    """Each student layer is mapped to the width of its target."""

    needs_edges, needs_gradients, by_node = False, False, True
    of_graphs = False

    def __init__(self, task, teacher_channels, student_channels, seeds):
        self.num_teachers = len(teacher_channels)
        self.num_students = len(student_channels)
        self.fit(task)
        self.parameters = {}
        for j, width in enumerate(student_channels):
            self.parameters[f'map{j}'] = draw(seeds, width, self.width)
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

    def fit(self, task):
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

    width, attention = 16, 'diagonal'

    def fit(self, task):
        size = self.num_teachers, self.num_students
        weights = self.attend(*size)
        self.share = weights / weights.sum(dim=0)
        self.maps = [components(x, self.width) for x in task.layers]

    def attend(self, *size):
        return fixed_attention(self.attention, *size)

    def prepare(self, layers):
        z = self.project(layers)
        return list(torch.einsum('ij,inc->jnc', self.share, z))

    def project(self, layers):
        """The teacher's layers, as rows of length 1."""
        return torch.stack(
            [
                normalize_rows((x - x.mean(dim=0)) @ map, True, True)
                for x, map in zip(layers, self.maps, strict=True)
            ]
        )

    def distance(self, y, target, j):
        y = normalize_rows(y, center=True, normalize=True)
        # Apart from a constant, and so that it starts near 2.
        product = (y * target[j]).sum(dim=-1).mean(dim=-1)
        return 2.0 - 2.0 * product


def components(x, width):
    """The map to the first principal components of a layer's rows."""
    x = normalize_rows(x, center=True, normalize=True)
    return torch.linalg.svd(x.t() @ x)[0][:, :width]


class Uniform(Components):
    """All student layers are compared with all teacher layers."""

    attention = 'uniform'


class Half(Components):
    """Half of the attention is uniform, and half along the diagonal."""

    def attend(self, *size):
        parts = [fixed_attention(name, *size) for name in FIXED[:2]]
        return sum(parts) / 2


class Turned(Uniform):
    """The components of all layers are turned towards those of the last.

    Which loses nothing of a layer, but its map is shared by all layers, and
    the mean of components that only share their number says little.
    """

    def fit(self, task):
        super().fit(task)
        rows = self.project(task.layers)
        for i in range(self.num_teachers - 1):
            left, _, right = torch.linalg.svd(rows[i].t() @ rows[-1])
            self.maps[i] = self.maps[i] @ left @ right


class Mixed:
    """The mean of other forms, each of which starts at 1."""

    needs_gradients, of_graphs, by_node = False, False, True
    parts = Components, Classes

    def __init__(self, *args):
        self.forms = [part(*args) for part in self.parts]
        self.needs_edges = any(form.needs_edges for form in self.forms)
        self.parameters, self.scale = {}, [None] * len(self.parts)
        for k, form in enumerate(self.forms):
            for name, value in form.parameters.items():
                self.parameters[f'{k}.{name}'] = value

    def prepare(self, layers):
        targets = [form.prepare(layers) for form in self.forms]
        self.sizes = [len(target) for target in targets]
        return [x for target in targets for x in target]

    def __call__(self, own, target, layers, **context):
        total = 0.0
        for k, form in enumerate(self.forms):
            start = sum(self.sizes[:k])
            mine = {
                name.removeprefix(f'{k}.'): value
                for name, value in own.items()
                if name.startswith(f'{k}.')
            }
            some = target[start : start + self.sizes[k]]
            edges = context if form.needs_edges else {}
            value = form(mine, some, layers, **edges)
            if self.scale[k] is None:
                self.scale[k] = 1.0 / float(value.detach().mean())
            total = total + self.scale[k] * value
        return total / len(self.forms)


class Edges(Components):
    """Student layers are as similar along edges as the teacher's are."""

    needs_edges = True

    def __call__(self, own, target, layers, edge_index):
        source, sink = edge_index
        total = 0.0
        for j, x in enumerate(layers):
            y = torch.bmm(x, own[f'map{j}'])
            y = normalize_rows(y, center=True, normalize=True)
            z = target[j]
            mine = (y[:, source] * y[:, sink]).sum(dim=-1)
            taught = (z[source] * z[sink]).sum(dim=-1)
            total = total + (mine - taught).square().mean(dim=-1)
        return total / self.num_students


class Structure(Mixed):
    parts = Components, Edges


FORMS = {
    'classes': Classes,
    'components': Components,
    'components_uniform': Uniform,
    'components_half': Half,
    'components_turned': Turned,
    'mixed': Mixed,
    'structure': Structure,
}
