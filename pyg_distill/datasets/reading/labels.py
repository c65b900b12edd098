"""One class label a graph, as long."""

from math import prod

from torch import Tensor


def class_labels(y: Tensor, num_rows: Tensor) -> Tensor:
    """Checks the labels of a graph classification task.

    Args:
        y (torch.Tensor): The labels of all graphs in turn.
        num_rows (torch.Tensor): The rows of each graph, of shape :obj:`[G]`.

    Returns:
        torch.Tensor: The labels of shape :obj:`[G]`, as long.

    Raises:
        ValueError: If there is not one label a graph, or they are not whole
            numbers from 0.
    """
    size = num_rows * prod(y.size()[1:])
    if bool((size != 1).any()):
        graph = int((size != 1).nonzero()[0])
        raise ValueError(
            f"'y' must hold one class label a graph (got {int(size[graph])} "
            f'values for graph {graph}: a multi-label or node-level task?); '
            f'distil one task at a time, with y of shape [1]'
        )
    y = y.reshape(-1)
    label = y.long()
    if y.is_floating_point() and not bool((label == y).all()):
        bad = float(y[label != y][0])
        raise ValueError(
            f"'y' must hold class labels 0, 1, 2, ... (got {bad:g}: a "
            f'regression task or a missing label?); bin the targets into '
            f'classes, or drop unlabelled graphs'
        )
    if bool((label < 0).any()):
        raise ValueError(
            f"'y' must hold class labels 0, 1, 2, ... (got "
            f'{int(label.min())}); drop unlabelled graphs, or map -1/1 to 0/1'
        )
    return label
