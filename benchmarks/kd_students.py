"""Many students at once: those of kd_settings.py with a dimension of runs.

Every run has parameters of its own, and all see the same rows. A layer of R
runs and H channels is one matrix [N, R * H], so that one sparse product
propagates all runs, and a block-diagonal one maps several. What is computed
for a run does not depend on the others.
"""

import math

import torch
from kd_settings import build
from torch_geometric import seed_everything

# Small products waste their time in calls, and block-diagonal ones theirs in
# zeros.
BLOCK = 16


class Propagate(torch.autograd.Function):
    """A sparse times a dense matrix, with the transposed one at hand."""

    @staticmethod
    def forward(ctx, x, matrix, transposed):
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx, grad):
        return ctx.transposed @ grad.contiguous(), None, None


def propagate(x, pair):
    """Sums over neighbours."""
    return Propagate.apply(x, *pair)


def linear(x, weight, bias=None):
    """The linear layer [R, K, H] of each run."""
    h = weight.size(-1)
    step, out = max(1, BLOCK // h), []
    for part, some in zip(
        x.split(step * h, dim=1), weight.split(step), strict=True
    ):
        out.append(part @ torch.block_diag(*some.unbind()).t())
    out = torch.cat(out, dim=1)
    return out if bias is None else out + bias.flatten()


def first(features, weight, bias=None):
    """A linear layer of features that all runs share, sparse or dense."""
    flat = weight.flatten(0, 1).t()
    if isinstance(features, tuple):
        out = propagate(flat, features)
    else:
        out = features @ flat
    return out if bias is None else out + bias.flatten()


def gcnii(p, x, pair, num_layers):
    """The layers and the logits, as LayerRecorder and the model have them."""
    x = x0 = first(x, p['lin1.weight'], p['lin1.bias']).relu()
    layers = []
    for i in range(num_layers):
        beta = math.log(0.5 / (i + 1) + 1)
        weight = p[f'convs.{i}.weight1'].mT * beta
        weight = weight + (1 - beta) * torch.eye(weight.size(-1))
        x = linear(torch.lerp(propagate(x, pair), x0, 0.1), weight)
        layers.append(x)
        x = x.relu()
    return layers, linear(x, p['lin2.weight'], p['lin2.bias'])


def gcn(p, x, pair, num_layers):
    layers = []
    for i in range(num_layers):
        weight = p[f'gnn.convs.{i}.lin.weight']
        x = first(x, weight) if i == 0 else linear(x, weight)
        x = propagate(x, pair) + p[f'gnn.convs.{i}.bias'].flatten()
        layers.append(x)
        x = x.relu()
    return layers, linear(x, p['lin.weight'], p['lin.bias'])


def norm(p, buffers, name, x, training):
    """Batch normalisation of each run by itself."""
    mean, var = buffers[f'{name}.running_mean'], buffers[f'{name}.running_var']
    scale, shift = p[f'{name}.weight'].flatten(), p[f'{name}.bias'].flatten()
    return torch.nn.functional.batch_norm(
        x, mean.view(-1), var.view(-1), scale, shift, training
    )


def gin(p, buffers, x, pair, pool, num_layers, training):
    """As above; `x` are the features summed over a node and its neighbours."""
    layers = []
    for i in range(num_layers):
        conv = f'gnn.convs.{i}.nn'
        weight, bias = p[f'{conv}.lins.0.weight'], p[f'{conv}.lins.0.bias']
        if i == 0:
            x = first(x, weight, bias)
        else:
            x = linear(x + propagate(x, pair), weight, bias)
        x = norm(p, buffers, f'{conv}.norms.0.module', x, training).relu()
        x = linear(x, p[f'{conv}.lins.1.weight'], p[f'{conv}.lins.1.bias'])
        layers.append(x)
        if f'gnn.norms.{i}.module.weight' in p:
            x = norm(p, buffers, f'gnn.norms.{i}.module', x, training)
        x = x.relu()
    pooled = propagate(x, pool)
    return layers, linear(pooled, p['lin.weight'], p['lin.bias'])


def stack(model, num_features, num_classes, seeds):
    """Parameters and buffers of one plain student a seed, stacked."""
    parameters, buffers, dtype = [], [], torch.get_default_dtype()
    for seed in seeds:
        seed_everything(seed)
        student = build(model, num_features, num_classes)
        parameters.append(dict(student.named_parameters()))
        buffers.append(dict(student.named_buffers()))
    out = []
    for dicts in (parameters, buffers):
        out.append(
            {
                k: torch.stack([d[k].detach().to(dtype) for d in dicts])
                for k in dicts[0]
            }
        )
    return out


def transpose_pair(matrix):
    """A CSR matrix and its transpose."""
    return matrix, matrix.t().to_sparse_csr()


def class_first(out, num_classes):
    """Logits [N, R * C] as [C, N, R], where a softmax is fast."""
    return out.view(out.size(0), -1, num_classes).permute(2, 0, 1).contiguous()


def cross_entropy(log, y):
    """Of each run, given the logarithms [C, N, R] of probabilities."""
    index = y.view(1, -1, 1).expand(1, -1, log.size(2))
    return -log.gather(0, index)[0].mean(dim=0)


def divergence(taught, out, temperature=2.0):
    """KDLoss of each run, of the teacher's [N, C] and logits [C, N, R]."""
    taught = (taught.t().unsqueeze(-1) / temperature).log_softmax(dim=0)
    log = (out / temperature).log_softmax(dim=0)
    cross = (taught.exp() * (taught - log)).sum(dim=0).mean(dim=0)
    return temperature**2 * cross


def by_run(x, num_runs):
    """A layer [N, R * H] as [R, N, H]."""
    return x.view(x.size(0), num_runs, -1).transpose(0, 1)


def ranges(start, size):
    """All numbers from each start on, as many as its size."""
    end = size.cumsum(0)
    shift = (start - end + size).repeat_interleave(size)
    return torch.arange(int(size.sum())) + shift


def csr(crow, col, size):
    return torch.sparse_csr_tensor(crow, col, torch.ones(len(col)), size)


def gradients(loss, layers, rows):
    """With respect to some rows of layers, each [R, N, H]."""
    grads = torch.autograd.grad(loss.sum(), layers, retain_graph=True)
    return [by_run(x[rows], loss.size(0)) for x in grads]
