from collections.abc import Iterator

import pytest
import torch.distributed as dist


@pytest.fixture(scope='module')
def process_group() -> Iterator[None]:
    """This process alone, which is all that one needs to try it."""
    store = dist.HashStore()
    dist.init_process_group('gloo', store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()
