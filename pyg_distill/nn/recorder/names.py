"""To be deleted: `shorten` is in `recorder.layers`."""

from pyg_distill.nn.recorder.layers import shorten as shorten
