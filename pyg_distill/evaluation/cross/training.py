"""Trains a model for a number of steps and keeps its best moment."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from pyg_distill.evaluation.cross.graph_batch import GraphBatch
from pyg_distill.evaluation.cross.metrics import (
    is_finite,
    mean_loss,
    roc_auc,
    weighted_loss,
)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        steps: The number of steps of the optimiser.
        batch_size: The largest number of graphs of a mini-batch.
        lr: The learning rate of :class:`~torch.optim.Adam`.
        weight_decay: Its weight decay.
        eval_every: The number of steps between two looks at the validation
            graphs; the last step is always looked at.
    """

    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    eval_every: int


@dataclass(frozen=True)
class BestStep:
    """The moment of training that the validation graphs chose.

    Attributes:
        step: After how many steps it was.
        auc: The ROC-AUC on the validation graphs.
        loss: Their mean cross entropy.
    """

    step: int
    auc: float
    loss: float


def train(
    model: torch.nn.Module,
    batches: Iterator[GraphBatch],
    val: list[GraphBatch],
    options: TrainingOptions,
) -> BestStep | None:
    """Trains a model, which is then as it was at its best step.

    Args:
        model (torch.nn.Module): What makes logits of a mini-batch.
        batches (iterator): Mini-batches without end.
        val (list): The validation graphs.
        options (TrainingOptions): How to train.

    Returns:
        BestStep: The step of the largest validation ROC-AUC and, among equal
        ones, of the smallest loss; :obj:`None` if outputs were never finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    # One kernel for all tensors instead of ten for each.
    fused = all(p.device.type in ('cpu', 'cuda') for p in parameters)
    optimizer = torch.optim.Adam(
        parameters, options.lr, weight_decay=options.weight_decay, fused=fused
    )
    best: BestStep | None = None
    state = {}
    model.train()
    for step in range(1, options.steps + 1):
        data = next(batches)
        optimizer.zero_grad()
        weighted_loss(model(data), data.label, data.weight).backward()
        optimizer.step()
        if step % options.eval_every and step < options.steps:
            continue
        label, out = predict(model, val)
        model.train()
        if not is_finite(out):
            continue
        now = BestStep(step, roc_auc(label, out), mean_loss(label, out))
        if best is None or (now.auc, -now.loss) > (best.auc, -best.loss):
            best, state = now, copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(state)
    return best


@torch.no_grad()
def predict(
    model: torch.nn.Module, batches: list[GraphBatch]
) -> tuple[Tensor, Tensor]:
    """Puts a model into evaluation mode and applies it to all batches.

    Returns:
        tuple: The labels of shape :obj:`[G]` and the logits :obj:`[G, C]`.
    """
    model.eval()
    out = torch.cat([model(data) for data in batches])
    return torch.cat([data.label for data in batches]), out


def mini_batches(
    take: Callable[[Tensor], GraphBatch],
    num_graphs: int,
    batch_size: int,
    seed: int,
    device: torch.device | str = 'cpu',
) -> Iterator[GraphBatch]:
    """Draws mini-batches without end, epoch by epoch.

    Graphs of an epoch are shuffled and cut into as few batches as there can
    be, of sizes that differ by one at most: a last batch of few graphs would
    have as large a say as all others. If all graphs fit, it is always the
    same batch.

    Args:
        take (callable): Makes a mini-batch of graphs of given numbers.
        num_graphs (int): The number of graphs.
        batch_size (int): The largest number of graphs of a batch.
        seed (int): The seed of the shuffling.
        device (torch.device, optional): Where the graphs are.
            (default: :obj:`"cpu"`)
    """
    number = ceil(num_graphs / batch_size)
    if number == 1:
        batch = take(torch.arange(num_graphs, device=device))
        while True:
            yield batch
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(num_graphs, generator=generator).to(device)
        for graph in order.tensor_split(number):
            yield take(graph)
