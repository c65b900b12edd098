import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import settings
from torch_geometric.datasets import TUDataset
from torch_geometric.nn import GraphSAGE, to_hetero
from torch_geometric.typing import WITH_TORCH_SPARSE

# Graphs in tests are tiny: threads would cost more than they bring, and the
# order of floating-point sums would depend on the machine.
torch.set_num_threads(1)

settings.register_profile('repeatable', deadline=None, derandomize=True)
settings.load_profile('repeatable')

with_torch_sparse = pytest.mark.skipif(
    not WITH_TORCH_SPARSE, reason='needs torch-sparse'
)


def splits_models() -> bool:
    """Whether this PyG can still make models heterogeneous.

    Older ones read a name that newer releases of PyTorch do not have.
    """
    metadata = (['v'], [('v', 'to', 'v')])
    try:
        to_hetero(GraphSAGE(1, 1, 1), metadata)
    except AttributeError:
        return False
    return True


with_to_hetero = pytest.mark.skipif(
    not splits_models(), reason='needs a PyG that knows this PyTorch'
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def process_group() -> Iterator[None]:
    """This process alone, which is all that one needs to try it."""
    store = dist.HashStore()
    dist.init_process_group('gloo', store=store, rank=0, world_size=1)
    yield
    # A model that outlives its group ends it with Python's lock in hand, and
    # waits for ever where a thread of gloo needs the lock to let go of tensors.
    gc.collect()
    dist.destroy_process_group()


@pytest.fixture
def real_dataset() -> Callable[..., TUDataset]:
    """Loads a TUDataset by name from the folder $PYG_DISTILL_DATA.

    Tests never download anything: they are skipped where the folder is not
    given or does not hold the raw files.
    """

    def load(name: str, **kwargs: Any) -> TUDataset:
        if 'PYG_DISTILL_DATA' not in os.environ:
            pytest.skip('needs PYG_DISTILL_DATA')
        root = Path(os.environ['PYG_DISTILL_DATA'], 'TUDataset')
        if not (root / name / 'raw').is_dir():
            pytest.skip(f'needs the raw files of {name}')
        return TUDataset(str(root), name, **kwargs)

    return load
