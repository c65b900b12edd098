"""What the rows of a layer differ in most."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_distill.nn.losses.rows import normalize_rows


class PrincipalComponents(torch.nn.Module):
    r"""Maps each of the teacher's layers to its first principal components.

    They are those of the rows as they are compared, centred and scaled to
    length 1, found once, from the first layers that it is called with, and
    kept with the state of the loss.

    Args:
        channels (list[int]): The width of each layer.
        num_components (int): How many are kept of layers that are wider.
        center (bool): Whether the mean row is subtracted.
        normalize (bool): Whether rows are scaled to length 1.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_components: int,
        center: bool,
        normalize: bool,
    ) -> None:
        super().__init__()
        self.channels = [min(width, num_components) for width in channels]
        self.center = center
        self.normalize = normalize
        self.fitted = False
        for i, (width, out) in enumerate(
            zip(channels, self.channels, strict=True)
        ):
            self.register_buffer(f'map{i}', torch.zeros(width, out))

    @torch.no_grad()
    def fit(self, layers: list[Tensor]) -> None:
        """Finds the components.

        Args:
            layers (list[torch.Tensor]): The teacher's layers, each of shape
                :obj:`[N, C]`.
        """
        for i, (x, width) in enumerate(zip(layers, self.channels, strict=True)):
            if x.size(0) <= width < x.size(1):
                raise ValueError(
                    f"'teacher' must have more rows than components when it "
                    f'is first seen (got {x.size(0)} rows for {width}); call '
                    f'prepare() with more of them before, or pass a smaller '
                    f'num_components'
                )
            old = self.get_buffer(f'map{i}')
            if x.size(1) == width:
                old.copy_(torch.eye(width))
                continue
            rows = normalize_rows(x, self.center, self.normalize)
            # In ascending order.
            _, vectors = torch.linalg.eigh(rows.t() @ rows)
            old.copy_(vectors[:, -width:].flip(-1))
        self.fitted = True

    def forward(self, layers: list[Tensor]) -> list[Tensor]:
        """From :obj:`[N, C]` to at most :obj:`num_components` columns each."""
        return [
            x @ self.get_buffer(f'map{i}').to(x.dtype)
            for i, x in enumerate(layers)
        ]

    def get_extra_state(self) -> dict[str, Any]:
        """Whether there are components."""
        return {'fitted': self.fitted}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Whether there are components.

        Args:
            state (dict[str, Any]): What :meth:`get_extra_state` returned.
        """
        self.fitted = state['fitted']
