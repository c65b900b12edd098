"""Starting values for a very small student, from a larger one."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from pyg_distill.nn.belongings import (
    companions,
    misfit,
    pairs,
    scope,
    siblings,
    tensors,
)
from pyg_distill.nn.recorder.layers import find_layers, shorten


class TakenLayers(NamedTuple):
    """What a student was initialised with.

    Args:
        taken (dict[str, str]): The layer of the trained student that each
            layer of the new one is a copy of, by name.
        mass (dict[str, float]): How much attention each layer of the trained
            student got, by name.
        copied (list[str]): The names of all parameters and buffers of the new
            student that were overwritten.
        left (list[str]): The names of those that stay as they were, since
            the trained student has none of their name and shape.
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
    <https://arxiv.org/abs/2310.15938v2>`_ paper (Sec. 3.2.3), of which only
    the purpose is reported, not the rule. Here it is: distil a teacher of
    :math:`T` layers into a student of :math:`S` layers, and take as many of
    these as the smaller student has, those that the teacher's layers attend to
    most,

    .. math::
        m_j = \sum_{i = 1}^{T} A_{ij}

    in their order.

    .. code-block:: python

        attention = distiller.losses['abkd'].last_attention
        print(attention_init(tiny, distiller.export(), attention).taken)
        # {'convs.0': 'convs.2'}

    What belongs to a layer comes along: entries of the same position in lists
    of modules beside its own, such as norms. Of all else, such as the linear
    layers before and after, whatever has the same name and shape is copied.

    Args:
        student (torch.nn.Module): The model to initialise, in-place.
        trained (torch.nn.Module): The model to copy from.
        attention (torch.Tensor): The attention of shape :obj:`[T, S]`, or its
            column sums of shape :obj:`[S]`. Fixed attention that is the same
            for all layers says nothing.
        layers (str or list, optional): The layers of the student, see
            :class:`LayerRecorder`. (default: :obj:`"auto"`)
        trained_layers (str or list, optional): The layers that columns of the
            attention stand for, in this order. (default: :obj:`"auto"`)
        only_fitting (bool, optional): If set to :obj:`True`, layers that do
            not have the shape of the student's are passed over. Otherwise an
            error is raised if one of them is to be taken.
            (default: :obj:`False`)

    Returns:
        TakenLayers: Which layers were taken, and what else was copied.

    Raises:
        ValueError: If layers do not fit, columns of the attention are not
            those of the layers, or it does not say which to take.
        TypeError: If an argument is of another type.
    """
    _check_models(student, trained)
    names = [layer.name for layer in find_layers(student, layers)]
    known = [layer.name for layer in find_layers(trained, trained_layers)]
    mass = _column_mass(attention, known)
    if len(names) > len(known):
        raise ValueError(
            f"'student' must not have more layers than 'trained' (got "
            f'{len(names)} and {len(known)}); name those to initialise, '
            f'layers={names[:1]}'
        )
    chosen = _choose(student, trained, names, known, mass, only_fitting)
    taken = dict(zip(names, chosen, strict=True))

    source, target = tensors(trained), tensors(student)
    copied: dict[str, str] = {}
    apart: set[str] = set()
    for name, other in taken.items():
        found = misfit(student, trained, name, other)
        if found is not None:
            raise ValueError(
                f"'student' layer {name!r} must have the shape of {other!r}, "
                f'which has most of the attention (got {found}); build the '
                f'student as wide, or pass only_fitting=True for the next one'
            )
        copied |= pairs(target, name, other)
        for mine, theirs in companions(student, trained, name, other):
            copied |= pairs(target, mine, theirs)
        # Whose entries are not those of the same position.
        apart |= {scope(student, n) for n in (name, *siblings(student, name))}
    for key in target:
        if not any(key.startswith(begin) for begin in apart):
            copied.setdefault(key, key)
    copied = {
        key: other
        for key, other in copied.items()
        if other in source and source[other].size() == target[key].size()
    }
    with torch.no_grad():
        for key, other in copied.items():
            target[key].copy_(source[other])
    return TakenLayers(
        taken,
        dict(zip(known, mass.tolist(), strict=True)),
        [key for key in target if key in copied],
        [key for key in target if key not in copied],
    )


def _choose(
    student: torch.nn.Module,
    trained: torch.nn.Module,
    names: list[str],
    known: list[str],
    mass: Tensor,
    only_fitting: bool,
) -> list[str]:
    """The names of the layers to take, in their order."""
    place = list(range(len(known)))
    if only_fitting:
        place = [
            j
            for j in place
            if all(misfit(student, trained, n, known[j]) is None for n in names)
        ]
        if len(place) < len(names):
            raise ValueError(
                f"'trained' must have {len(names)} layers of the shape of "
                f'{shorten(names)} (got {len(place)} among '
                f'{shorten(known)}); build the student as wide'
            )
    order = sorted(place, key=lambda j: -float(mass[j]))
    best, rest = order[: len(names)], order[len(names) :]
    if rest and torch.isclose(mass[best[-1]], mass[rest[0]]):
        raise ValueError(
            f"'attention' must tell the layers apart (got as much for "
            f'{known[best[-1]]!r} as for {known[rest[0]]!r}); pass one that '
            f'was learned, or weights of your choice, one a layer'
        )
    return [known[j] for j in sorted(best)]


def _column_mass(attention: Any, known: list[str]) -> Tensor:
    if not isinstance(attention, Tensor):
        raise TypeError(
            f"'attention' must be a tensor of shape [T, S] (got "
            f'{type(attention).__name__}); of several node types, pass the one '
            f'of a single type'
        )
    columns = attention.size(-1) if attention.dim() in (1, 2) else -1
    if columns != len(known):
        raise ValueError(
            f"'attention' must have a column for each of {len(known)} layers "
            f'of trained, {shorten(known)} (got shape '
            f'{list(attention.size())}); name those that it was learned for, '
            f'trained_layers=[...]'
        )
    mass = attention.detach().double().view(-1, columns).sum(dim=0).cpu()
    if not bool(mass.isfinite().all()) or bool((attention < 0).any()):
        raise ValueError(
            f"'attention' must hold finite weights of at least 0 (got values "
            f'from {float(attention.min()):g} to {float(attention.max()):g}); '
            f'pass last_attention of a loss'
        )
    return mass


def _check_models(student: Any, trained: Any) -> None:
    for name, model in (('student', student), ('trained', trained)):
        if not isinstance(model, torch.nn.Module):
            raise TypeError(
                f"'{name}' must be a torch.nn.Module (got "
                f'{type(model).__name__}); pass the model itself'
            )
        if any(is_lazy(p) for p in model.parameters()):
            raise ValueError(
                f"'{name}' must know the shape of its parameters (got lazy "
                f'ones); call it once before'
            )
    if student is trained:
        raise ValueError(
            "'student' must be another model than 'trained' (got the same "
            'twice); build one of fewer layers'
        )
