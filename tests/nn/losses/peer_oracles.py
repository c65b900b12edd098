"""The losses of other papers in plain Python, straight from their formulas."""

import math
from typing import Any

from torch import Tensor

Matrix = list[list[float]]
Edges = list[tuple[int, int]]


def units(rows: Matrix, floor: float = 1e-6) -> Matrix:
    """Rows of length 1, up to those that are short beside the others."""
    squares = [sum(value * value for value in row) for row in rows]
    least = floor * sum(squares) / len(squares)
    lengths = [math.sqrt(square + least) or 1.0 for square in squares]
    return [
        [value / length for value in row]
        for row, length in zip(rows, lengths, strict=True)
    ]


def linear(x: Matrix, lin: Any) -> Matrix:
    weight = lin.weight.tolist()
    bias = [0.0] * len(weight) if lin.bias is None else lin.bias.tolist()
    return [
        [
            sum(a * b for a, b in zip(row, w, strict=True)) + c
            for w, c in zip(weight, bias, strict=True)
        ]
        for row in x
    ]


def head(x: Matrix, module: Any) -> Matrix:
    """Linear, batch norm by the rows themselves, ReLU."""
    x = linear(x, module.lin)
    scale, shift = module.norm.weight.tolist(), module.norm.bias.tolist()
    out = [[0.0] * len(x[0]) for _ in x]
    for c in range(len(x[0])):
        column = [row[c] for row in x]
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        for v, value in enumerate(column):
            value = (value - mean) / math.sqrt(variance + 1e-5)
            out[v][c] = max(0.0, value * scale[c] + shift[c])
    return out


def mapped(loss: Any, teacher: Tensor, student: Tensor) -> tuple[Any, Any]:
    """Both layers behind the heads of a loss, if it has any."""
    t, s = teacher.tolist(), student.tolist()
    if loss.projection != 'both':
        return t, s
    return head(t, loss.teacher_heads[0]), head(s, loss.student_heads[0])


def fitnet(loss: Any, teacher: Tensor, student: Tensor) -> float:
    t, s = mapped(loss, teacher, student)
    if loss.regressors is not None:
        s = linear(s, loss.regressors[0])
    if loss.normalize:
        t, s = units(t), units(s)
    total = 0.0
    for a, b in zip(t, s, strict=True):
        for x, y in zip(a, b, strict=True):
            total += (x - y) ** 2
    if loss.reduction == 'mean':
        return total / len(t) / len(t[0])
    return total / 2 / len(t)


def attention_map(x: Matrix) -> list[float]:
    (out,) = units([[sum(value**2 for value in row) for row in x]])
    return out


def at(
    teacher: Tensor,
    student: Tensor,
    reduction: str,
    batch: list[int] | None = None,
    size: int | None = None,
) -> float:
    t, s = teacher.tolist(), student.tolist()
    batch = batch or [0] * len(t)
    squares = []
    for graph in range(size or max(batch) + 1):
        member = [v for v in range(len(t)) if batch[v] == graph]
        if not member:
            continue
        a = attention_map([t[v] for v in member])
        b = attention_map([s[v] for v in member])
        squares.append(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    if reduction == 'mean':
        return sum(squares) / len(t)
    if reduction == 'norm':
        squares = [math.sqrt(square) for square in squares]
    return sum(squares) / len(squares)


def prepared(x: Matrix, kind: str) -> Matrix:
    return units(x) if kind in ('cosine', 'poly') else x


def kernel(a: list[float], b: list[float], kind: str) -> float:
    if kind in ('cosine', 'poly'):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot if kind == 'cosine' else dot**2
    square = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return math.sqrt(square) if kind == 'l2' else math.exp(-square / 2)


def lsp(
    teacher: Tensor,
    student: Tensor,
    edges: Edges,
    kind: str,
    reduction: str,
    divergence: str,
) -> float:
    t, s = prepared(teacher.tolist(), kind), prepared(student.tolist(), kind)
    total = 0.0
    for v in range(len(t)):
        # Parallel edges count as often as there are.
        neighbors = [a for a, b in edges if b == v]
        p = probabilities(t, neighbors, v, kind)
        q = probabilities(s, neighbors, v, kind)
        if divergence == 'student':
            p, q = q, p
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / (len(t) if reduction == 'node' else max(len(edges), 1))


def probabilities(
    x: Matrix, neighbors: list[int], v: int, kind: str
) -> list[float]:
    powers = [math.exp(kernel(x[u], x[v], kind)) for u in neighbors]
    return [power / sum(powers) for power in powers]


def gsp(
    loss: Any, teacher: Tensor, student: Tensor, drawn: list[int] | None = None
) -> float:
    t, s = mapped(loss, teacher, student)
    if drawn is not None:
        t, s = [t[v] for v in drawn], [s[v] for v in drawn]
    t, s = prepared(t, loss.kernel), prepared(s, loss.kernel)
    total = 0.0
    for u in range(len(t)):
        for v in range(len(t)):
            difference = kernel(t[u], t[v], loss.kernel)
            difference -= kernel(s[u], s[v], loss.kernel)
            total += difference**2
    return total / len(t) ** 2


def gcrd(
    loss: Any, teacher: Tensor, student: Tensor, drawn: list[int] | None = None
) -> float:
    t, s = mapped(loss, teacher, student)
    if drawn is not None:
        t, s = [t[v] for v in drawn], [s[v] for v in drawn]
    t, s = units(t), units(s)
    total = 0.0
    for v in range(len(s)):
        powers = [
            math.exp(kernel(row, s[v], 'cosine') / loss.temperature)
            for row in t
        ]
        total -= math.log(powers[v] / sum(powers))
    return total / len(s)


def peer(loss: Any, *layers: Tensor, edges: Edges) -> float:
    """The value of any of these losses."""
    name = type(loss).__name__
    if name == 'ATLoss':
        return at(*layers, loss.reduction)
    if name == 'LSPLoss':
        options = loss.kernel, loss.reduction, loss.divergence
        return lsp(*layers, edges, *options)
    oracle = {'FitNetLoss': fitnet, 'GSPLoss': gsp, 'GCRDLoss': gcrd}[name]
    return oracle(loss, *layers)
