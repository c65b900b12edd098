"""A part of the nodes in the place of all."""

import torch
from torch import Tensor

from pyg_distill.nn.losses.target import TeacherTarget


def draw_rows(
    target: TeacherTarget, rows: list[Tensor], num_rows: int
) -> tuple[TeacherTarget, list[Tensor]]:
    """The same rows of both sides, or all of them if they are few.

    They are drawn anew in each call, without replacement and by the global
    generator of the device.

    Args:
        target (TeacherTarget): The teacher's side.
        rows (list[torch.Tensor]): The student's layers.
        num_rows (int): How many rows to draw.
    """
    if target.num_rows <= num_rows:
        return target, rows
    index = torch.randperm(target.num_rows, device=rows[0].device)[:num_rows]
    return target.select(index), [x.index_select(0, index) for x in rows]


def draw_pair(
    teacher: Tensor, student: Tensor, num_rows: int | None
) -> tuple[Tensor, Tensor]:
    """The same rows of two layers, or all of them if they are few.

    Args:
        teacher (torch.Tensor): The teacher's layer, of shape :obj:`[N, F]`.
        student (torch.Tensor): The student's layer, of shape :obj:`[N, F]`.
        num_rows (int, optional): How many rows to draw.
    """
    if num_rows is None or student.size(0) <= num_rows:
        return teacher, student
    index = torch.randperm(student.size(0), device=student.device)[:num_rows]
    return teacher.index_select(0, index), student.index_select(0, index)
