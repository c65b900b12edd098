r"""The base class of all losses between a student and its teacher."""

from typing import Any, Literal

import torch
from torch import Tensor


class DistillationLoss(torch.nn.Module):
    r"""Base class of losses that compare a student with its teacher.

    A subclass declares what it reads, and defines :meth:`forward`.
    :class:`~pyg_distill.nn.Distiller` passes exactly what is declared:

    .. code-block:: python

        class LastLayerMSE(DistillationLoss):
            needs = 'layers'

            def forward(self, teacher, student):
                return F.mse_loss(student[-1], teacher[-1])

    Attributes that depend on an option are set on the instance.

    Attributes:
        needs (str): What :obj:`teacher` and :obj:`student` are:
            :obj:`"layers"` (lists with one entry a layer) or :obj:`"logits"`
            (what the models return). (default: :obj:`"layers"`)
        needs_edges (bool): Whether :meth:`forward` takes :obj:`edge_index`,
            the edges between the rows. (default: :obj:`False`)
        needs_batch (bool): Whether :meth:`forward` takes :obj:`batch` and
            :obj:`size`, the graph of each row and the number of graphs.
            (default: :obj:`False`)
        can_prepare (bool): Whether :meth:`prepare` turns the layers of a
            frozen teacher into a target, without further context. The target
            replaces :obj:`teacher` in :meth:`forward`, and is computed once
            if the teacher is cached. (default: :obj:`False`)
        target_level (str): Whether the target has a row for each node
            (:obj:`"node"`), and rows of it can be selected by
            :meth:`TeacherTarget.select`, or it belongs to all nodes together
            (:obj:`"all"`). (default: :obj:`"node"`)
    """

    needs: Literal['layers', 'logits'] = 'layers'
    needs_edges: bool = False
    needs_batch: bool = False
    can_prepare: bool = False
    target_level: Literal['node', 'all'] = 'node'

    def forward(
        self, teacher: Any, student: Any, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Compares the teacher's side with the student's.

        Args:
            teacher (Any): The layers or the logits of the teacher, without
                gradient.
            student (Any): The layers or the logits of the student.
            *args (optional): See :obj:`**kwargs`.
            **kwargs (optional): What the loss declares that it needs:
                :obj:`edge_index`, or :obj:`batch` and :obj:`size`.
        """
        raise NotImplementedError

    def prepare(self, teacher: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes everything that depends on the teacher's layers alone.

        Returns:
            TeacherTarget or dict[str, TeacherTarget]: What replaces
            :obj:`teacher` in :meth:`forward`, by node type if layers are.
        """
        raise NotImplementedError(
            f"'{type(self).__name__}' has no prepare(); pass the layers of "
            f'the teacher in every step'
        )
