"""Starting values for a very small student, from a larger one."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from pyg_distill.nn.recorder.layers import find_layers, shorten


class TakenLayers(NamedTuple):
    """What a student was initialised with.

    Args:
        taken (dict[str, str]): The layer of the trained student that each
            layer of the new one is a copy of, by name.
        mass (dict[str, float]): The attention to each layer of the trained
            student, by name.
        copied (list[str]): The names of all parameters and buffers of the new
            student that were overwritten.
        left (list[str]): The names of those without a counterpart of the same
            name and shape, which stay as they are.
    """

    taken: dict[str, str]
    mass: dict[str, float]
    copied: list[str]
    left: list[str]


def attention_init(
    student: torch.nn.Module,
    trained: torch.nn.Module,
    attention: Tensor,
    *,
    layers: Any = 'auto',
    trained_layers: Any = 'auto',
    only_fitting: bool = False,
) -> TakenLayers:
    r"""Initialises a very small student with what a larger one has learned.

    Following an idea of the `"STRIDE: Structure and Embedding Distillation
    with Attention for Graph Neural Networks"
    <https://arxiv.org/abs/2310.15938v2>`_ paper (Sec. 3.2.3), which does not
    report the rule. Here, a teacher of :math:`T` layers is distilled into a
    student of :math:`S` layers. The smaller student takes those of them that
    the teacher's layers attend to most, :math:`m_j = \sum_{i = 1}^{T} A_{ij}`,
    in their order.

    .. code-block:: python

        attention = distiller.losses['abkd'].last_attention
        print(attention_init(tiny, distiller.export(), attention).taken)
        # {'convs.0': 'convs.2'}

    Entries at the same position in neighboring lists of modules, such as
    norms, are copied with a layer. Other parameters, such as those of linear
    layers before and after, are copied if name and shape are the same.

    Args:
        student (torch.nn.Module): The model to initialise, in-place.
        trained (torch.nn.Module): The model to copy from.
        attention (torch.Tensor): The attention of shape :obj:`[T, S]`, or its
            column sums of shape :obj:`[S]`. It must differ between layers.
        layers (str or list, optional): The layers of the student, see
            :class:`LayerRecorder`. (default: :obj:`"auto"`)
        trained_layers (str or list, optional): The layers that columns of the
            attention stand for, in this order. (default: :obj:`"auto"`)
        only_fitting (bool, optional): If set to :obj:`True`, layers of
            another shape than the student's are skipped, rather than refused.
            (default: :obj:`False`)

    Returns:
        TakenLayers: Which layers were taken, and what else was copied.

    Raises:
        ValueError: If layers do not fit, the attention has not one column a
            layer, or layers that are taken and left have equal attention.
        TypeError: If an argument is of another type.
    """
    for side, model in (('student', student), ('trained', trained)):
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"'{side}' must be a torch.nn.Module (got "
                f'{type(model).__name__})'
            )
        if any(is_lazy(p) for p in model.parameters()):
            raise ValueError(
                f"'{side}' must know the shape of its parameters (got lazy "
                f'ones); call it once before'
            )
    names = [layer.name for layer in find_layers(student, layers)]
    sources = [layer.name for layer in find_layers(trained, trained_layers)]
    if student is trained or len(names) > len(sources):
        raise ValueError(
            f"'student' must be another model than 'trained', with at most "
            f'{len(sources)} layers (got {len(names)}); try layers={names[:1]}'
        )
    mass = _column_mass(attention, sources)
    order = sorted(range(len(sources)), key=lambda j: -float(mass[j]))
    misfits = {
        (name, j): _misfit(student, trained, name, sources[j])
        for name in names
        for j in order
    }
    if only_fitting:
        order = [j for j in order if not any(misfits[n, j] for n in names)]
        if len(order) < len(names):
            raise ValueError(
                f"'trained' must have {len(names)} layers of the shape of "
                f'{shorten(names)} (got {len(order)} among '
                f'{shorten(sources)}); build the student as wide'
            )
    best, rest = order[: len(names)], order[len(names) :]
    if rest and torch.isclose(mass[best[-1]], mass[rest[0]]):
        raise ValueError(
            f"'attention' must tell the layers apart (got as much for "
            f'{sources[best[-1]]!r} as for {sources[rest[0]]!r}); pass a '
            f'weight for each layer'
        )

    target, source = student.state_dict(), trained.state_dict()
    # The modules to copy, and those whose tensors never match by name.
    modules: dict[str, str] = {}
    listed: set[str] = set()
    for name, j in zip(names, sorted(best), strict=True):
        other, misfit = sources[j], misfits[name, j]
        if misfit is not None:
            raise ValueError(
                f"'student' layer {name!r} must have the shape of {other!r}, "
                f'which has most of the attention (got {misfit}); build the '
                f'student as wide, or pass only_fitting=True'
            )
        mine, theirs = _siblings(student, name), _siblings(trained, other)
        modules |= {mine[k]: theirs[k] for k in mine if k in theirs}
        modules[name] = other
        listed |= set(mine) or {name}
    copied: dict[str, str] = {}
    for key in target:
        if not any(key.startswith(_prefix(name)) for name in listed):
            copied[key] = key
        for name, other in modules.items():
            if key.startswith(_prefix(name)):
                copied[key] = _prefix(other) + key.removeprefix(_prefix(name))
    copied = {
        key: other
        for key, other in copied.items()
        if other in source and source[other].size() == target[key].size()
    }
    with torch.no_grad():
        for key, other in copied.items():
            target[key].copy_(source[other])
    return TakenLayers(
        {n: sources[j] for n, j in zip(names, sorted(best), strict=True)},
        dict(zip(sources, mass.tolist(), strict=True)),
        [key for key in target if key in copied],
        [key for key in target if key not in copied],
    )


def _column_mass(attention: Any, sources: list[str]) -> Tensor:
    if not isinstance(attention, Tensor):
        raise TypeError(
            f"'attention' must be a tensor of shape [T, S] (got "
            f'{type(attention).__name__}); pass that of a single node type'
        )
    columns = attention.size(-1) if attention.dim() in (1, 2) else -1
    if columns != len(sources):
        raise ValueError(
            f"'attention' must have a column for each of {len(sources)} layers "
            f'{shorten(sources)} (got shape {list(attention.size())}); name '
            f'those that it was learned for, trained_layers=[...]'
        )
    mass = attention.detach().double().view(-1, columns).sum(dim=0).cpu()
    if not bool(mass.isfinite().all()) or bool((attention < 0).any()):
        raise ValueError(
            f"'attention' must hold finite weights of at least 0 (got "
            f'{float(attention.min()):g} to {float(attention.max()):g}); pass '
            f'last_attention of a loss'
        )
    return mass


def _misfit(
    student: torch.nn.Module, trained: torch.nn.Module, name: str, other: str
) -> str | None:
    """How the shapes of a layer differ from those of another."""
    a, b = (
        {key: list(x.size()) for key, x in module.state_dict().items()}
        for module in (
            student.get_submodule(name),
            trained.get_submodule(other),
        )
    )
    for key in a | b:
        if a.get(key) != b.get(key):
            sizes = a.get(key, 'no shape'), b.get(key, 'no shape')
            return f'{key} of {sizes[0]} and {sizes[1]}'
    return None


def _siblings(model: torch.nn.Module, name: str) -> dict[str, str]:
    """Each list beside that of a layer, and its entry at the same position."""
    own, _, index = name.rpartition('.')
    if not isinstance(model.get_submodule(own), torch.nn.ModuleList):
        return {}
    begin = _prefix(own.rpartition('.')[0])
    parent = model.get_submodule(begin.removesuffix('.'))
    return {
        f'{begin}{key}': f'{begin}{key}.{index}'
        for key, module in parent.named_children()
        if isinstance(module, torch.nn.ModuleList) and int(index) < len(module)
    }


def _prefix(name: str) -> str:
    return f'{name}.' if name else ''
