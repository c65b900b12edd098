"""Layers of whole graphs instead of nodes."""

from kd_train import LibraryLoss

from pyg_distill.nn import ABKDLoss


class OfGraphs(LibraryLoss):
    """The default loss with granularity='graph'.

    Means over graphs are taken before layers are mapped, not after it: linear
    maps do not mind, and the teacher's means are taken once.
    """

    of_graphs = True

    def __init__(self, task, teacher_channels, student_channels, seeds):
        super().__init__(ABKDLoss, teacher_channels, student_channels, seeds)


GRAPH_MEANS = {'of_graphs': OfGraphs}
