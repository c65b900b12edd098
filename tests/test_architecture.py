"""Which part of the package may import which, and what it offers."""

import ast
import importlib
import inspect
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pyg_distill

PACKAGE = Path(pyg_distill.__file__).parent
# What each part may import beside itself.
ARROWS = {
    'trees': set(),
    'data': {'trees'},
    'selection': {'trees', 'data'},
    'transforms': {'trees', 'data'},
    'datasets': {'trees', 'data', 'selection'},
    'loader': {'trees', 'data'},
    'nn': set(),
    'evaluation': {'trees', 'data', 'transforms', 'datasets', 'loader', 'nn'},
    'contrib': {'datasets', 'nn'},
    'visualization': {
        'trees',
        'data',
        'selection',
        'datasets',
        'nn',
        'evaluation',
    },
}
# One new idea is one file here, with one public class.
ONE_CLASS_A_FILE = {
    'selection': 'Selector',
    'nn/losses': 'DistillationLoss',
}
EXTENSIONS = {'torch_scatter', 'torch_sparse'}
OPTIONAL = EXTENSIONS | {'matplotlib'}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob('*.py')}


def statements(name: str) -> list[tuple[ast.stmt, bool]]:
    """The imports of a module, and whether each runs as it is imported."""
    out = []

    def visit(node: ast.AST, at_import: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                out.append((child, at_import))
            inside = isinstance(
                child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            ) or (
                isinstance(child, ast.If)
                and ast.unparse(child.test) == 'TYPE_CHECKING'
            )
            visit(child, at_import and not inside)

    visit(ast.parse(MODULES[name].read_text()), True)
    return out


def imported(name: str, node: ast.stmt) -> list[str]:
    """The modules that an import statement loads."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    base = node.module or ''
    if node.level:
        package = name.split('.')
        if MODULES[name].name != '__init__.py':
            package = package[:-1]
        package = package[: len(package) - node.level + 1]
        base = '.'.join([*package, base] if base else package)
    out = []
    for alias in node.names:
        inner = f'{base}.{alias.name}'
        out.append(inner if inner in MODULES else base)
    return out


@pytest.mark.parametrize('folder', sorted(ONE_CLASS_A_FILE))
def test_each_selector_and_each_loss_has_its_own_file(folder: str) -> None:
    name = ONE_CLASS_A_FILE[folder]
    module = importlib.import_module(f'pyg_distill.{folder}'.replace('/', '.'))
    base = getattr(module, name)
    kinds = [
        value
        for value in map(module.__dict__.get, module.__all__)
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ != base.__module__
    ]
    assert len(kinds) > 5
    files = [inspect.getfile(kind) for kind in kinds]
    assert len(files) == len(set(files))
    assert all(Path(file).parent == PACKAGE / folder for file in files)


def test_the_package_stays_small() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in MODULES.values())
    assert len(MODULES) <= 100
    assert lines <= 17_600


def test_all_parts_are_known() -> None:
    parts = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert parts == set(ARROWS)
    assert len(MODULES) > 20


@pytest.mark.parametrize('name', sorted(MODULES))
def test_arrows_run_one_way(name: str) -> None:
    _, *inner = name.split('.')
    own = inner[0] if inner and inner[0] in ARROWS else 'evaluation'
    allowed = ARROWS[own] | {own}
    for node, _ in statements(name):
        for target in imported(name, node):
            first, *parts = target.split('.')
            if first == 'pyg_distill' and parts:
                assert parts[0] in allowed, f'{name} imports {target}'


def test_modules_do_not_import_in_circles() -> None:
    # A package's own list of names is loaded before any of its modules, so
    # that modules may not read it.
    graph = {
        name: {
            target
            for node, _ in statements(name)
            for target in imported(name, node)
            if target in MODULES and target != name
        }
        for name in MODULES
    }
    assert sum(map(len, graph.values())) > 20
    # Raises if there is a circle.
    list(TopologicalSorter(graph).static_order())
    for name, targets in graph.items():
        own = name.rpartition('.')[0]
        assert own == 'pyg_distill' or own not in targets, name


@pytest.mark.parametrize('name', sorted(MODULES))
def test_optional_packages_are_not_needed_to_import(name: str) -> None:
    for node, at_import in statements(name):
        if at_import:
            loaded = {t.partition('.')[0] for t in imported(name, node)}
            assert not loaded & OPTIONAL


@pytest.mark.parametrize('part', sorted(ARROWS))
def test_public_names_are_there_and_documented(part: str) -> None:
    module = importlib.import_module(f'pyg_distill.{part}')
    names = module.__all__
    assert len(names) == len(set(names)) > 0
    for name in names:
        value = getattr(module, name)
        assert inspect.getdoc(value), name
        if inspect.isclass(value):
            assert '__doc__' in vars(value), name
            own = [
                function
                for key, function in vars(value).items()
                if not key.startswith('_') and inspect.isfunction(function)
            ]
            assert all(inspect.getdoc(f) for f in own), name


@pytest.mark.parametrize('part', sorted(ARROWS))
def test_every_argument_of_a_public_name_is_documented(part: str) -> None:
    module = importlib.import_module(f'pyg_distill.{part}')
    for name in module.__all__:
        value = getattr(module, name)
        doc = inspect.getdoc(value) or ''
        is_error = inspect.isclass(value) and issubclass(value, Exception)
        if 'Attributes:' in doc or not callable(value) or is_error:
            continue
        for argument in inspect.signature(value).parameters:
            if not argument.startswith('kw') and argument != 'args':
                assert (
                    f'{argument} (' in doc
                    or f'{argument}**' in doc
                    or (f'**{argument}:' in doc)
                ), f'{name}({argument})'


def test_imports_without_optional_packages() -> None:
    lines = [
        'import sys',
        *(f'sys.modules[{name!r}] = None' for name in sorted(EXTENSIONS)),
        *(f'import pyg_distill.{part}' for part in sorted(ARROWS)),
        # Not even where it is installed, as it takes a second.
        "assert 'matplotlib' not in sys.modules",
        "sys.modules['matplotlib'] = None",
        'import torch',
        'from torch_geometric.data import Data',
        'from pyg_distill.datasets import MirageDataset',
        'edge_index = torch.tensor([[0, 1], [1, 0]])',
        'data = Data(x=torch.ones(2, 1), edge_index=edge_index)',
        'data.y = torch.tensor([0])',
        'print(len(MirageDataset([data], 2)))',
    ]
    result = subprocess.run(
        [sys.executable, '-c', '\n'.join(lines)],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == '1'
