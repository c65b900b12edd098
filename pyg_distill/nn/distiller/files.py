"""Files that are there as a whole or not at all."""

import uuid
from typing import Any

from torch_geometric.io import fs


def save_whole(state: Any, path: str) -> None:
    """Saves beside a file, and then puts the result in its place."""
    temporary = f'{path}.{uuid.uuid4().hex}'
    try:
        fs.torch_save(state, temporary)
        fs.mv(temporary, path)
    except BaseException:
        if fs.exists(temporary):
            fs.rm(temporary)
        raise
