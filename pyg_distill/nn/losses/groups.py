"""Which layers are compared in one space."""

from collections.abc import Sequence

from torch import Tensor


def group_layers(
    teacher_channels: Sequence[int],
    num_student: int,
    attention: Tensor | None,
    projection: str | None,
) -> list[tuple[list[int], list[int]]]:
    """The teacher and the student layers of each space.

    There is one for each width of the teacher, or one for all where both
    sides are projected. A student layer that fixed attention gives no weight
    there is not mapped to it: its map would never learn.

    Args:
        teacher_channels (list[int]): The width of each teacher layer.
        num_student (int): The number of student layers.
        attention (torch.Tensor, optional): The weights, unless learned.
        projection (str, optional): Which sides are projected.
    """
    if projection == 'both':
        everything = list(range(len(teacher_channels)))
        return [(everything, list(range(num_student)))]
    out = []
    for width in sorted(set(teacher_channels)):
        member = [i for i, w in enumerate(teacher_channels) if w == width]
        column = list(range(num_student))
        if attention is not None and projection == 'student':
            weight = attention[member].sum(dim=0).tolist()
            column = [j for j in column if weight[j] > 0]
        if column:
            out.append((member, column))
    return out
