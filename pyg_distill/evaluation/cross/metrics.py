"""How good are predictions?"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def load_roc_auc(owner: str) -> Callable[..., Any]:
    """The function of scikit-learn.

    Args:
        owner (str): The function named in the error message.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    try:
        from sklearn.metrics import roc_auc_score
    except ImportError:
        raise ImportError(
            f"'{owner}' needs scikit-learn for ROC-AUC (it is not installed); "
            f'pip install "pyg-distill[evaluation]"'
        ) from None
    return roc_auc_score


def roc_auc(label: Tensor, out: Tensor) -> float:
    """The area under the ROC curve.

    Args:
        label (torch.Tensor): Classes of shape :obj:`[G]`, two or more.
        out (torch.Tensor): Logits of shape :obj:`[G, C]`.

    Returns:
        float: That of class 1 if there are two classes, else the mean over
        the classes that occur of each against the rest.
    """
    score = load_roc_auc('roc_auc')
    # Ties among probabilities that round to 1 are no ties among logits.
    label, out = label.cpu(), out.double().cpu()
    if out.size(1) == 2:
        return float(score(label == 1, out[:, 1] - out[:, 0]))
    prob = out.softmax(dim=-1)
    classes = label.unique().tolist()
    areas = [float(score(label == c, prob[:, c])) for c in classes]
    return sum(areas) / len(areas)


def accuracy(label: Tensor, out: Tensor) -> float:
    """The share of graphs whose class has the largest logit."""
    return float((out.argmax(dim=-1) == label).double().mean())


def mean_loss(label: Tensor, out: Tensor) -> float:
    """The mean cross entropy."""
    return float(F.cross_entropy(out, label))


def weighted_loss(out: Tensor, label: Tensor, weight: Tensor | None) -> Tensor:
    """The cross entropy, weighted by graph where there are weights."""
    if weight is None:
        return F.cross_entropy(out, label)
    return (F.cross_entropy(out, label, reduction='none') * weight).mean()


def is_finite(out: Tensor) -> bool:
    """Whether training has not diverged."""
    return bool(torch.isfinite(out).all())
