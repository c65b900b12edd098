"""What a coreset kept of a data set, in numbers."""

from dataclasses import asdict, dataclass, field
from typing import Any

from pyg_distill.datasets.report import Size, format_options


@dataclass(frozen=True, repr=False)
class CoresetReport:
    """What a coreset kept of a data set; prints as a table.

    Attributes:
        options: The options of the data set by name.
        num_classes: The number of classes, with those not in the split.
        classes: The graphs of each class in the source, and those kept.
        source: The size of the given split.
        distilled: The size of the result.
        packed_bytes: The bytes of the result when packed, which is what a
            budget limits.
        source_packed_bytes: Those of the given split, if the budget was a
            share of them, or all is kept.
        left_out: Names of the source's attributes that are not in the result.
        seconds: The time that it took to pick graphs, without reading the
            source.
    """

    options: dict[str, Any]
    num_classes: int
    classes: dict[int, tuple[int, int]]
    source: Size
    distilled: Size
    packed_bytes: int
    source_packed_bytes: int | None = None
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain dictionaries, ready for JSON."""
        out = asdict(self)
        out['classes'] = {
            str(label): {'num_graphs': before, 'num_kept': after}
            for label, (before, after) in self.classes.items()
        }
        return out

    def __str__(self) -> str:
        rows: list[tuple[str, int | None, int]] = [
            (
                name,
                getattr(self.source, f'num_{name}'),
                getattr(self.distilled, f'num_{name}'),
            )
            for name in ('graphs', 'nodes', 'edges', 'bytes')
        ]
        rows.append(
            ('packed bytes', self.source_packed_bytes, self.packed_bytes)
        )
        rows += [(f'class {c}', *sizes) for c, sizes in self.classes.items()]
        lines = [
            format_options(self.options),
            f'{"":12}{"source":>14}{"coreset":>14}{"share":>10}',
        ]
        for name, before, after in rows:
            share = f'{after / before:.2%}' if before else '-'
            first = '-' if before is None else f'{before:,}'
            lines.append(f'{name:12}{first:>14}{after:>14,}{share:>10}')
        lines.append(f'picked in {self.seconds:.2f} s')
        if self.left_out:
            lines.append(f'left out: {", ".join(self.left_out)}')
        return '\n'.join(lines)

    def __repr__(self) -> str:
        # What a notebook shows; `to_dict` has the numbers.
        return str(self)
