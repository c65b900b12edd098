"""What became of a loss that was trained without its student."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

_COLLAPSED, _NO_GRADIENT = 0.05, 0.01
_LABEL, _COLUMN = 28, 11


@dataclass(frozen=True)
class LossState:
    """What a loss asks of a student, at one point of training.

    Attributes:
        loss: The value.
        student_gradient: The norm of the gradient that reaches each layer of
            the student, all node types together.
        parameter_gradient: The norm of the gradient on the parameters of the
            loss.
        entropy: The mean entropy of the attention of a teacher layer over
            student layers, relative to the largest possible, by node type
            (:obj:`""` if there is one). It is 0 if each attends to a single
            layer. Types without a choice are left out.
        mass: The share of the attention that falls on each student layer, by
            node type.
    """

    loss: float
    student_gradient: tuple[float, ...]
    parameter_gradient: float
    entropy: Mapping[str, float]
    mass: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class CollapseReport:
    """How far a loss's own parameters bring it while the student is frozen.

    Attributes:
        name: The name of the loss.
        before: The state at the start.
        after: The state when the parameters of the loss have been trained.
        num_parameters: The number of values that were trained.
        steps: The number of steps.
    """

    name: str
    before: LossState
    after: LossState
    num_parameters: int
    steps: int

    @property
    def remaining(self) -> float:
        """The share of the loss that remains."""
        if self.num_parameters == 0 or self.before.loss == 0:
            return 1.0
        return self.after.loss / self.before.loss

    @property
    def collapsible(self) -> bool:
        """Whether the loss has parameters that could do it."""
        return self.num_parameters > 0

    @property
    def remaining_gradient(self) -> float:
        """The share that remains of the gradient on the student."""
        before = math.hypot(*self.before.student_gradient)
        if not self.collapsible or before == 0:
            return 1.0
        return math.hypot(*self.after.student_gradient) / before

    @property
    def collapsed(self) -> bool:
        """Whether next to nothing remains for the student to do.

        That is less than 5 % of the loss, or 1 % of the gradient: teacher
        layers that differ from each other leave a loss that nothing lowers.
        """
        return (
            self.remaining < _COLLAPSED
            or self.remaining_gradient < _NO_GRADIENT
        )

    def __str__(self) -> str:
        lines = [
            f'{self.name}: {self.num_parameters} parameters of its own, '
            f'{self.steps} steps with the student frozen',
            f'{"":{_LABEL}}{"before":>{_COLUMN}}{"after":>{_COLUMN}}',
            _line('loss', self.before.loss, self.after.loss),
        ]
        pairs = zip(
            self.before.student_gradient,
            self.after.student_gradient,
            strict=True,
        )
        for j, pair in enumerate(pairs):
            lines.append(_line(f'gradient, student layer {j}', *pair))
        if self.collapsible:
            lines.append(
                _line(
                    'gradient, own parameters',
                    self.before.parameter_gradient,
                    self.after.parameter_gradient,
                )
            )
        for t, entropy in self.before.entropy.items():
            label = _of_type('attention, entropy', t)
            lines.append(_line(label, entropy, self.after.entropy[t]))
        for t, mass in self.before.mass.items():
            for j, pair in enumerate(
                zip(mass, self.after.mass[t], strict=True)
            ):
                label = _of_type(f'attention, layer {j}', t)
                lines.append(_line(label, *pair))
        return '\n'.join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if not self.collapsible:
            return (
                'NOT COLLAPSIBLE: it has no trainable parameters, so that '
                'only the student can lower it; nothing to do'
            )
        if self.collapsed:
            return (
                f'COLLAPSED: {self.remaining:.1%} of the loss and '
                f'{self.remaining_gradient:.1%} of its gradient remain, the '
                f"student need not learn; use projection='student' with "
                f"granularity='node' or 'group', and more rows than channels"
            )
        if self.remaining < 0.5:
            return (
                f'PARTLY: {self.remaining:.1%} remains for the student, the '
                f"rest is met without it; compare with projection='student' "
                f'and more rows'
            )
        return (
            f'HOLDS: {self.remaining:.1%} remains, which only the student can '
            f'lower; nothing to do'
        )


def _of_type(label: str, node_type: str) -> str:
    return f'{label}, {node_type}' if node_type else label


def _line(label: str, before: float, after: float) -> str:
    if len(label) > _LABEL:
        label = f'{label[: _LABEL - 3]}...'
    numbers = ''.join(f'{x:>{_COLUMN}.4g}' for x in (before, after))
    return f'{label:<{_LABEL}}{numbers}'
