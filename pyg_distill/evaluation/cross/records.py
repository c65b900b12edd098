"""What was measured in one training, and of one training set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One training.

    Attributes:
        dataset: The name of the task.
        train_set: The name of the training set.
        model: The name of the model.
        readout: The readout.
        run: The number of the run, which is its seed.
        accuracy: The accuracy on the test graphs, at the chosen step.
        auc: The ROC-AUC on the test graphs, at the chosen step.
        val_auc: The ROC-AUC on the validation graphs, at the chosen step.
        val_loss: Their mean cross entropy, at the chosen step.
        step: The step that the validation graphs chose.
        seconds: The time that training took, validation included.
    """

    dataset: str
    train_set: str
    model: str
    readout: str
    run: int
    accuracy: float
    auc: float
    val_auc: float
    val_loss: float
    step: int
    seconds: float

    @property
    def cell(self) -> tuple[str, str, str]:
        """The task, the model and the readout."""
        return self.dataset, self.model, self.readout


@dataclass(frozen=True)
class SetRecord:
    """The training set of one run.

    Attributes:
        dataset: The name of the task.
        train_set: The name of the training set.
        run: The number of the run.
        num_graphs: The number of graphs.
        num_nodes: The number of nodes.
        num_edges: The number of edges.
        num_bytes: The tensor payload, see
            :meth:`~pyg_distill.datasets.payload`.
        packed_bytes: The size in a packed form, if the data set knows it.
        file_size: The size of its file, if there is one.
        seconds: The time that distilling took, if it is known.
    """

    dataset: str
    train_set: str
    run: int
    num_graphs: int
    num_nodes: int
    num_edges: int
    num_bytes: int
    packed_bytes: int | None = None
    file_size: int | None = None
    seconds: float | None = None
