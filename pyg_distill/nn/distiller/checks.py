"""Can these two models be teacher and student?"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DataParallel, DistributedDataParallel

from pyg_distill.nn.distiller.by_type import items
from pyg_distill.nn.distiller.teacher_cache import TeacherCache


def check_models(student: Any, teacher: Any, teacher_layers: Any) -> None:
    """Refuses models that cannot be distilled."""
    if not isinstance(student, torch.nn.Module):
        raise TypeError(
            f"'student' must be a torch.nn.Module (got "
            f'{type(student).__name__}); pass the model itself'
        )
    if isinstance(student, DataParallel | DistributedDataParallel):
        raise ValueError(
            f"'student' must not be wrapped already (got "
            f'{type(student).__name__}), or the losses would differ between '
            f'processes; wrap the Distiller in DistributedDataParallel instead'
        )
    if isinstance(teacher, TeacherCache):
        if teacher_layers != 'auto':
            raise ValueError(
                f"'teacher_layers' must be left out where layers are cached "
                f'already (got {teacher_layers!r}); pass layers=... to '
                f'TeacherCache.from_inputs'
            )
        return
    if not isinstance(teacher, torch.nn.Module):
        raise TypeError(
            f"'teacher' must be a torch.nn.Module or a TeacherCache (got "
            f'{type(teacher).__name__}); pass the model itself'
        )
    if teacher is student:
        raise ValueError(
            "'teacher' must not be the student itself; pass "
            'copy.deepcopy(student) to distil it into itself'
        )
    trained = {id(parameter) for parameter in student.parameters()}
    if any(id(parameter) in trained for parameter in teacher.parameters()):
        raise ValueError(
            "'teacher' must not share parameters with the student, or it "
            'would be trained; pass copy.deepcopy(teacher)'
        )


def check_outputs(teacher: Any, student: Any) -> None:
    """Refuses outputs whose classes cannot be the same."""
    taught = dict(items(teacher))
    learned = dict(items(student))
    if not set(taught) & set(learned):
        raise ValueError(
            f"'teacher' and 'student' must return outputs for the same node "
            f'types (got {sorted(taught)} and {sorted(learned)}); wrap one of '
            f'them in a module that does'
        )
    for key in set(taught) & set(learned):
        if taught[key].size(-1) != learned[key].size(-1):
            raise ValueError(
                f"'teacher' and 'student' must return as many columns for "
                f'KDLoss (got {taught[key].size(-1)} and '
                f"{learned[key].size(-1)}); leave it out, losses={{'abkd': "
                f'ABKDLoss}}'
            )


def check_task_loss(task_loss: Any) -> None:
    """Refuses what cannot be added to losses."""
    if task_loss is None:
        return
    if not isinstance(task_loss, Tensor) or task_loss.numel() != 1:
        got = type(task_loss).__name__
        if isinstance(task_loss, Tensor):
            got = f'shape {list(task_loss.size())}'
        raise ValueError(
            f"'task_loss' must be a tensor with a single value (got {got}); "
            f'pass for example F.cross_entropy(out, y)'
        )


def check_edges(
    losses: Mapping[str, Any], edge_index: Any, batch_size: Any
) -> None:
    """Refuses losses of edges without edges, or with the seed nodes alone."""
    for name, loss in losses.items():
        if not getattr(loss, 'needs_edge_index', False):
            continue
        if batch_size is not None:
            raise ValueError(
                f"'batch_size' must be left out with {name!r}, which compares "
                f'nodes with neighbors that are no seed nodes (got '
                f'{batch_size}); use batches of whole graphs or clusters '
                f'instead of sampled neighborhoods, or another loss'
            )
        if edge_index is None:
            raise ValueError(
                f"'edge_index' must be given for {name!r}, which compares "
                f'nodes with their neighbors (got None); pass '
                f'distiller.loss(task_loss, edge_index=edge_index)'
            )
