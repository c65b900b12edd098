"""Evaluation mode for those who teach, and for no one who learns."""

import contextlib
from collections.abc import Iterator
from weakref import WeakKeyDictionary, WeakSet

import torch

# What has been put into evaluation mode to teach, with the modes before; and
# the students, which two distillers may have teach each other.
_HUSHED: WeakKeyDictionary[torch.nn.Module, dict[str, bool]] = (
    WeakKeyDictionary()
)
_STUDENTS: WeakSet[torch.nn.Module] = WeakSet()


def hush(teacher: torch.nn.Module) -> None:
    """Evaluation mode for good, unless the teacher is trained elsewhere.

    It spares every call to look for modules in training mode, of which
    compiled code is far slower.
    """
    if teacher in _STUDENTS or not is_training(teacher):
        return
    _HUSHED[teacher] = {k: m.training for k, m in teacher.named_modules()}
    teacher.eval()


def wake(student: torch.nn.Module) -> None:
    """Gives back the modes of one that has been put to teach before."""
    _STUDENTS.add(student)
    modes = _HUSHED.pop(student, {})
    for name, module in student.named_modules():
        module.training = modes.get(name, module.training)


def graduate(student: torch.nn.Module) -> None:
    """It learns no more, and may be put to teach."""
    _STUDENTS.discard(student)


def is_training(model: torch.nn.Module) -> bool:
    """Whether any part of a model is in training mode."""
    return any(module.training for module in model.modules())


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode for a while."""
    if not is_training(model):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
