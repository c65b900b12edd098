"""Smaller data sets and smaller models for PyTorch Geometric."""

import importlib
import pkgutil
from types import ModuleType

__version__ = '0.1.0'

__all__ = ['__version__']

_SUBPACKAGES = {m.name for m in pkgutil.iter_modules(__path__) if m.ispkg}


def __getattr__(name: str) -> ModuleType:
    # Importing PyTorch takes seconds, so each subpackage waits until its use.
    if name in _SUBPACKAGES:
        return importlib.import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBPACKAGES})
