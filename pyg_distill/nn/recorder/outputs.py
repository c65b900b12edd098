"""Which tensors of a layer's output are its features."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor

Features: TypeAlias = Tensor | dict[str, Tensor]
Output: TypeAlias = int | str | Callable[[Any], Features] | None


def check_output(output: Any) -> None:
    """Refuses what :meth:`pick` could not read.

    Args:
        output (int or str or Callable, optional): As in :meth:`pick`.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(output, bool) or not (
        output is None or isinstance(output, int | str) or callable(output)
    ):
        raise TypeError(
            f"'output' must be None, a position, a key or a function (got "
            f'{output!r}); leave it out to take the first tensor'
        )


def pick(value: Any, output: Output) -> Features | None:
    """Picks the features out of what a layer returned.

    Args:
        value (Any): What the layer returned.
        output (int or str or Callable, optional): A position in a tuple or
            list, a key of a dictionary, or a function of the output.
            :obj:`None` takes a tensor, the tensors of a dictionary, or the
            first of either in a tuple or list.

    Returns:
        torch.Tensor or dict: The features, :obj:`None` if there are none.
    """
    if isinstance(output, str):
        value = value.get(output) if isinstance(value, Mapping) else None
    elif isinstance(output, int):
        # A tensor has positions too, but they are rows.
        inside = isinstance(value, tuple | list)
        inside = inside and -len(value) <= output < len(value)
        value = value[output] if inside else None
    elif output is not None:
        value = output(value)
    elif isinstance(value, tuple | list):
        for part in value:
            if isinstance(part, Tensor | Mapping):
                value = part
                break
    if isinstance(value, Mapping):
        tensors = {k: v for k, v in value.items() if v is not None}
        right = all(isinstance(v, Tensor) for v in tensors.values())
        return tensors if tensors and right else None
    return value if isinstance(value, Tensor) else None


def channels(features: Features) -> int | dict[str, int]:
    """The width of a layer's features, or of those of each type.

    Args:
        features (torch.Tensor or dict): What a layer returned.
    """
    if isinstance(features, Tensor):
        return features.size(-1) if features.dim() > 1 else 1
    return {
        key: value.size(-1) if value.dim() > 1 else 1
        for key, value in features.items()
    }
