import os
from collections.abc import Iterator

import pytest

from pyg_distill.datasets import DistillationReport

# Before anything imports matplotlib.
os.environ.setdefault('MPLBACKEND', 'Agg')

# Until the reports have their new names.
if 'compressed_bytes' not in DistillationReport.__dataclass_fields__:
    for new, old in {
        'compressed_bytes': 'packed_bytes',
        'source_compressed_bytes': 'source_packed_bytes',
    }.items():
        read = property(lambda report, old=old: getattr(report, old))
        setattr(DistillationReport, new, read)


@pytest.fixture(autouse=True)
def _leaves_no_trace() -> Iterator[None]:
    plt = pytest.importorskip('matplotlib.pyplot')
    before = dict(plt.rcParams)
    yield
    assert dict(plt.rcParams) == before
    plt.close('all')
