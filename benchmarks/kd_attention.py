"""Attention over pairs of layers, on principal components: what kd.py tried.

Weights [R, T, S] of each run, teacher and student layer, and with an attention
by node or class of each row, too.
"""

import math

import torch
from kd_forms import Components, draw
from pyg_distill.nn.losses.attention import fixed_attention
from pyg_distill.nn.losses.rows import normalize_rows

# Of the spaces of scores.
HIDDEN = 64


class Pairs(Components):
    """The distances of all pairs, weighted by an attention."""

    def __init__(self, task, teacher_channels, student_channels, seeds):
        super().__init__(task, teacher_channels, student_channels, seeds)
        # Rows are centred, of which a bias is no part.
        for j in range(self.num_students):
            del self.parameters[f'bias{j}']
        self.start(task, teacher_channels, student_channels, seeds)

    def start(self, task, teacher_channels, student_channels, seeds):
        pass

    def prepare(self, layers):
        return [self.project(layers).transpose(0, 1).contiguous()]

    def __call__(self, own, target, layers, **context):
        self.maps_now = [
            own[f'map{j}'].detach() for j in range(self.num_students)
        ]
        y = torch.stack(
            [
                normalize_rows(torch.bmm(x, own[f'map{j}']), True, True)
                for j, x in enumerate(layers)
            ]
        )
        return self.weigh(own, target, layers, y, **context)

    def weigh(self, own, target, layers, y, **context):
        z, (num_students, runs, num, width) = target[0], y.size()
        flat = y.reshape(num_students * runs, num * width)
        product = flat @ z.transpose(0, 1).reshape(z.size(1), -1).t() / num
        distance = 2.0 - 2.0 * product.view(num_students, runs, -1)
        distance = distance.permute(1, 2, 0)
        weight = self.weights(own, z, layers, y, distance, **context)
        total = weight.sum(dim=(1, 2))
        return (weight * distance).sum(dim=(1, 2)) / total


class Learned(Pairs):
    """Softmax over student layers of products of projected layer means."""

    detach, floor, bias = False, 0.0, 0.0

    def start(self, task, teacher_channels, student_channels, seeds):
        self.means = [x.mean(dim=0) for x in task.layers]
        for i, width in enumerate(teacher_channels):
            query = draw(seeds, width, HIDDEN, number=1 + i)
            self.parameters[f'query{i}'] = query
        for j, width in enumerate(student_channels):
            key = draw(seeds, width, HIDDEN, number=101 + j)
            self.parameters[f'key{j}'] = key
        size = self.num_teachers, self.num_students
        self.place = (fixed_attention('diagonal', *size) + 0.05).log()

    def weights(self, own, z, layers, y, distance):
        query = [m @ own[f'query{i}'] for i, m in enumerate(self.means)]
        key = []
        for j, x in enumerate(layers):
            mean = x.mean(dim=1, keepdim=True)
            if self.detach:
                mean = mean.detach()
            key.append((mean @ own[f'key{j}']).squeeze(1))
        query, key = torch.stack(query, 1), torch.stack(key, 2)
        score = query @ key / math.sqrt(HIDDEN) + self.bias * self.place
        out = score.softmax(dim=2)
        return self.floor / out.size(2) + (1 - self.floor) * out


class Detached(Learned):
    """The student does not learn to be attended to."""

    detach = True


class Floor(Learned):
    """Half of the attention is uniform."""

    floor = 0.5


class Positional(Learned):
    """Starts from layers of the same relative depth."""

    bias = 1.0


class Aligned(Pairs):
    """By the cosine of the gradients of a pair and of labels and logits."""

    needs_gradients, keep = True, 0.9

    def start(self, *args):
        self.average = None

    def weights(self, own, z, layers, y, distance, gradients):
        with torch.no_grad():
            value = self.cosine(z, layers, y, gradients).clamp(min=0.0)
            # Rather than none at all.
            value = value + 1e-3
            if self.average is None or len(self.average) != len(value):
                self.average = value
            self.average = torch.lerp(value, self.average, self.keep)
        return self.average

    def cosine(self, z, layers, y, gradients):
        """Of the gradients with respect to the student's layer, [R, T, S]."""
        out = []
        for j, x in enumerate(layers):
            grad, map = gradients[j], self.maps_now[j]
            length = ((x - x.mean(1, keepdim=True)) @ map).norm(dim=-1)
            inverse = 1.0 / length.clamp(min=1e-6)
            cosines = []
            for i in range(z.size(1)):
                t = z[:, i]
                along = (y[j] * t).sum(dim=-1, keepdim=True)
                own = (y[j] * along - t) * inverse.unsqueeze(-1)
                own = own @ map.mT
                own = own - own.mean(dim=1, keepdim=True)
                inner = (own * grad).sum(dim=(1, 2))
                size = own.square().sum(dim=(1, 2)) * grad.square().sum((1, 2))
                cosines.append(inner / size.clamp(min=1e-30).sqrt())
            out.append(torch.stack(cosines, dim=1))
        return torch.stack(out, dim=2)


class ByNode(Pairs):
    """Every node attends to student layers by itself."""

    def start(self, task, teacher_channels, student_channels, seeds):
        for i in range(self.num_teachers):
            query = draw(seeds, self.width, 16, number=1 + i)
            self.parameters[f'query{i}'] = query
        for j, width in enumerate(student_channels):
            key = draw(seeds, width, 16, number=101 + j)
            self.parameters[f'key{j}'] = key

    def weigh(self, own, target, layers, y):
        z = target[0]
        product = torch.stack(
            [
                torch.stack([(x * z[:, i]).sum(-1) for x in y])
                for i in range(z.size(1))
            ]
        )
        distance = 2.0 - 2.0 * product
        weight = self.rows(own, z, layers, target)
        return (weight * distance).sum(dim=(0, 1)).mean(dim=1) / z.size(1)

    def rows(self, own, z, layers, target):
        """The weight [T, S, R, N] of each node."""
        key = [normalize_rows(x, True, True) for x in layers]
        key = [x @ own[f'key{j}'] for j, x in enumerate(key)]
        score = []
        for i in range(z.size(1)):
            query = z[:, i] @ own[f'query{i}']
            score.append(torch.stack([(query * k).sum(-1) for k in key]))
        return (torch.stack(score) * 4.0).softmax(dim=1)


class ByClass(ByNode):
    """Nodes of one class, as the teacher says, attend alike."""

    def start(self, task, teacher_channels, student_channels, seeds):
        self.classes = task.logits.argmax(dim=-1)
        size = self.num_teachers * self.num_students, task.logits.size(1)
        self.parameters['table'] = draw(seeds, *size, number=1)

    def prepare(self, layers):
        return [*super().prepare(layers), self.classes]

    def rows(self, own, z, layers, target):
        score = own['table'][:, :, target[1]]
        size = self.num_teachers, self.num_students
        return score.transpose(0, 1).unflatten(0, size).softmax(dim=1)


ATTENTION = {
    'learned_components': Learned,
    'detached': Detached,
    'floor': Floor,
    'positional': Positional,
    'aligned': Aligned,
    'by_node': ByNode,
    'by_class': ByClass,
}
