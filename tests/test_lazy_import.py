import subprocess
import sys
from pathlib import Path

import pyg_distill

CODE = """
import sys
import pyg_distill

# Neither PyTorch nor anything else that takes seconds.
names = {name.partition('.')[0] for name in sys.modules}
assert not names & {'torch', 'torch_geometric', 'numpy', 'pandas'}, names
assert [m for m in sys.modules if m.startswith('pyg_distill')] == [
    'pyg_distill'
]
assert {'nn', 'datasets', 'loader', 'trees'} <= {*dir(pyg_distill)}
assert '__version__' in dir(pyg_distill)
assert not hasattr(pyg_distill, 'missing')
assert 'torch' not in sys.modules

assert callable(pyg_distill.nn.global_root_pool)
assert 'pyg_distill.datasets' not in sys.modules
for name in ('datasets', 'loader', 'transforms', 'trees'):
    module = getattr(pyg_distill, name)
    assert module is sys.modules[f'pyg_distill.{name}']
print('done')
"""


def test_subpackages_are_imported_when_they_are_used():
    result = subprocess.run(
        [sys.executable, '-c', CODE],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(pyg_distill.__file__).parents[1],
    )
    assert result.stdout == 'done\n', result.stderr
