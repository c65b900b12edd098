"""How well a node of the student tells its own teacher from the others."""

from torch import Tensor


def contrast(teacher: Tensor, student: Tensor) -> Tensor:
    """Cross-entropy of each student node against all teacher nodes.

    Args:
        teacher (torch.Tensor): The rows of the teacher, of shape
            :obj:`[N, C]`.
        student (torch.Tensor): The rows of the student, of shape
            :obj:`[..., N, C]`, scaled such that products are logits.
    """
    score = student @ teacher.t()
    diagonal = score.diagonal(dim1=-2, dim2=-1)
    return (score.logsumexp(dim=-1) - diagonal).mean(dim=-1)
