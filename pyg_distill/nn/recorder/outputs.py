"""To be deleted: `pick` is in `recorder.hooks`."""

from pyg_distill.nn.recorder.hooks import pick as pick
