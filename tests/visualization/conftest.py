import os
from collections.abc import Iterator

import pytest

# Before anything imports matplotlib.
os.environ.setdefault('MPLBACKEND', 'Agg')


@pytest.fixture(autouse=True)
def _leaves_no_trace() -> Iterator[None]:
    plt = pytest.importorskip('matplotlib.pyplot')
    before = dict(plt.rcParams)
    yield
    assert dict(plt.rcParams) == before
    plt.close('all')
