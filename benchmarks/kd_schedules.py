"""Layers that matter less, or more, as training goes on."""

from functools import partial

from kd_train import LibraryLoss

from pyg_distill.nn import ABKDLoss

# In steps, after which the weight stays as it is.
LENGTH = 300


class Scheduled(LibraryLoss):
    """The default loss with a weight that changes linearly."""

    def __init__(
        self, start, end, task, teacher_channels, student_channels, seeds
    ):
        super().__init__(ABKDLoss, teacher_channels, student_channels, seeds)
        self.start, self.end, self.step = start, end, 0

    def __call__(self, *args, **context):
        share = min(1.0, self.step / LENGTH)
        self.step += 1
        factor = (1.0 - share) * self.start + share * self.end
        return factor * super().__call__(*args, **context)


SCHEDULES = {
    'fading': partial(Scheduled, 1.0, 0.0),
    # Relative to the first step, as all weights are.
    'growing': partial(Scheduled, 1.0, 10.0),
}
