r"""Recording what the layers of a model return."""

from pyg_distill.nn.recorder.layer_recorder import LayerRecorder

__all__ = ['LayerRecorder']
