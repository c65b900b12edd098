"""Learning from an example how wide the layers of two models are."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pyg_distill.nn.distiller.by_type import channels, items
from pyg_distill.nn.distiller.checks import check_models, check_outputs
from pyg_distill.nn.distiller.loaders import as_arguments
from pyg_distill.nn.distiller.named_losses import (
    DEFAULT_WEIGHTS,
    build_losses,
    check_weights,
    compares,
    default_losses,
    name_losses,
)
from pyg_distill.nn.distiller.teacher import Answer, Teacher
from pyg_distill.nn.distiller.teacher_cache import TeacherCache


def learn_from(
    student: torch.nn.Module,
    teacher: torch.nn.Module | TeacherCache,
    example: Any,
    losses: Any,
    weights: Mapping[str, float] | Sequence[float] | None,
    *,
    student_layers: Any,
    teacher_layers: Any,
    cache: bool,
    clone: bool,
) -> tuple[torch.nn.Module | TeacherCache, dict[str, Any], dict[str, float]]:
    """The teacher, the losses and the weights to build a distiller of."""
    check_models(student, teacher, teacher_layers)
    if losses is None:
        losses = default_losses()
        if weights is None or isinstance(weights, Mapping):
            weights = DEFAULT_WEIGHTS | dict(weights or {})
    named = name_losses(losses)
    checked = check_weights(list(named), weights)
    kinds = {compares(loss) for loss in named.values()}
    args, kwargs = as_arguments(example)

    layers = student_layers if 'layers' in kinds else None
    learned = try_out('student', student, layers, args, kwargs)
    layers = teacher_layers if 'layers' in kinds else None
    if isinstance(teacher, torch.nn.Module) and cache:
        teacher = TeacherCache.from_inputs(
            teacher, example, layers, clone=clone
        )
    if isinstance(teacher, TeacherCache):
        taught = Answer(teacher.outputs, teacher.layers)
    else:
        taught = try_out('teacher', teacher, layers, args, kwargs)
    if 'outputs' in kinds:
        check_outputs(taught.outputs, learned.outputs)

    widths = channels(taught.layers or []), channels(learned.layers or [])
    named = build_losses(named, *widths)
    device = next(iter(items(learned.outputs)))[1].device
    for loss in named.values():
        if isinstance(loss, torch.nn.Module):
            loss.to(device)
    return teacher, named, checked


def try_out(
    name: str,
    model: torch.nn.Module,
    layers: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Answer:
    """Runs a model once and leaves it as it was.

    Lazy parameters are materialised. In evaluation mode, so that statistics of
    batch norms do not count the example. Nor is it what layers that cache
    their graph are to keep.
    """
    modes = [(module, module.training) for module in model.modules()]
    caches = [
        (module, key, value)
        for module in model.modules()
        for key, value in vars(module).items()
        if key.startswith('_cached')
    ]
    holder = None
    try:
        holder = Teacher(model, layers, name, clone=True)
        return holder(*args, **kwargs)
    finally:
        if holder is not None:
            holder.remove()
        for module, training in modes:
            module.training = training
        for module, key, value in caches:
            setattr(module, key, value)
