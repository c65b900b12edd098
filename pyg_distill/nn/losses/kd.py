"""Distillation of logits."""

import torch
from torch import Tensor

from pyg_distill.nn.losses.base import DistillationLoss
from pyg_distill.nn.losses.checks import check_positive
from pyg_distill.nn.losses.functional import bernoulli_kl, softmax_kl


class KDLoss(DistillationLoss):
    r"""Matches a student's logits with those of a teacher.

    As in the `"Distilling the Knowledge in a Neural Network"
    <https://arxiv.org/abs/1503.02531>`_ paper,

    .. math::
        \mathcal{L} = \frac{\tau^2}{N} \sum_{v} \mathrm{KL} \left(
        \mathrm{softmax} \left( \frac{\mathbf{t}_v}{\tau} \right) \,\Big\|\,
        \mathrm{softmax} \left( \frac{\mathbf{s}_v}{\tau} \right) \right)

    It is summed over classes and averaged over rows, as by
    :obj:`reduction="batchmean"` of :meth:`torch.nn.functional.kl_div`. The
    weight of this loss matters: try 1, 4, 16 and 64 on validation data first.

    With :obj:`multi_label=True`, each column is a binary task, a sigmoid
    replaces the softmax, and the divergence is averaged over columns as by
    :meth:`torch.nn.functional.binary_cross_entropy_with_logits`.

    Args:
        temperature (float, optional): The temperature :math:`\tau`.
            (default: :obj:`2.0`)
        multi_label (bool, optional): If set to :obj:`True`, columns are
            binary tasks rather than classes. (default: :obj:`False`)

    Raises:
        ValueError: If the temperature is not positive and finite, or the
            logits differ in shape, are empty or have a single class.

    Shapes:
        - **input:** teacher's and student's logits :math:`(N, C)`, or
          :math:`(N)` for one binary task
        - **output:** a scalar
    """

    needs = 'logits'

    def __init__(
        self, temperature: float = 2.0, *, multi_label: bool = False
    ) -> None:
        super().__init__()
        check_positive('temperature', temperature)
        self.temperature = float(temperature)
        self.multi_label = multi_label

    def forward(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Compares the teacher's logits, without gradient, with the student's.

        Args:
            teacher (torch.Tensor): The teacher's logits :obj:`[N, C]`.
            student (torch.Tensor): The student's logits :obj:`[N, C]`.
        """
        _check_logits(teacher, student, self.multi_label)
        divergence = bernoulli_kl if self.multi_label else softmax_kl
        with torch.autocast(student.device.type, enabled=False):
            dtype = torch.promote_types(student.dtype, torch.float)
            loss = divergence(
                teacher.to(dtype) / self.temperature,
                student.to(dtype) / self.temperature,
            )
        return self.temperature**2 * loss

    def extra_repr(self) -> str:
        """The options that change the result."""
        label = ', multi_label=True' if self.multi_label else ''
        return f'temperature={self.temperature:g}{label}'


def _check_logits(teacher: Tensor, student: Tensor, multi_label: bool) -> None:
    sizes = f'got {list(teacher.size())} and {list(student.size())}'
    if teacher.size() != student.size() or student.dim() not in (1, 2):
        raise ValueError(
            f"'teacher' and 'student' must be logits of one shape [N, C] "
            f'({sizes}); compare the same rows, such as out[:batch_size]'
        )
    if teacher.requires_grad:
        raise ValueError(
            "'teacher' must not require gradients; pass teacher.detach()"
        )
    if student.numel() == 0:
        raise ValueError(
            f"'student' must hold at least one row and class ({sizes}); skip "
            f'empty batches'
        )
    if not multi_label and student.size()[1:] in ((), (1,)):
        raise ValueError(
            f"'student' must have two classes or more ({sizes}); pass "
            f'multi_label=True for a binary logit'
        )
