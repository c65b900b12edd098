r"""Recording the outputs of the layers of a model."""

from pyg_distill.nn.recorder.layer_recorder import LayerRecorder

__all__ = ['LayerRecorder']
