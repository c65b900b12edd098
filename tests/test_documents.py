import re
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = {
    '.md': re.compile(r'```python\n(.*?)```', re.DOTALL),
    '.rst': re.compile(
        r'\.\. code-block:: python\n\n(.*?)(?=\n\S|\Z)', re.DOTALL
    ),
}


def run(namespace: dict, *names: str) -> int:
    number = 0
    for name in names:
        path = ROOT / name
        for code in BLOCKS[path.suffix].findall(path.read_text()):
            number += 1
            exec(
                compile(dedent(code), f'{name}, block {number}', 'exec'),
                namespace,
            )
    return number


def test_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert run({}, 'README.md') == 2
    out = capsys.readouterr().out
    assert 'distinct trees in all' in out
    assert out.count('Test accuracy: 0.') == 4


@pytest.mark.parametrize(
    'names',
    [
        ('docs/tour.rst', 'docs/training.rst'),
        ('docs/how_it_works.rst',),
        ('docs/evaluate.rst',),
        ('docs/shared_trees.rst',),
        ('docs/large.rst',),
        ('docs/compress.rst', 'docs/abkd.rst'),
    ],
)
def test_docs(names: tuple[str, ...]) -> None:
    assert run({}, *names) > 0


def test_every_document_with_code_is_run() -> None:
    tested = {
        'tour.rst',
        'training.rst',
        'evaluate.rst',
        'how_it_works.rst',
        'shared_trees.rst',
        'large.rst',
        'compress.rst',
        'abkd.rst',
    }
    with_code = {
        path.name
        for path in (ROOT / 'docs').glob('*.rst')
        if BLOCKS['.rst'].search(path.read_text())
    }
    assert with_code == tested


def test_readme_names_the_examples() -> None:
    readme = (ROOT / 'README.md').read_text()
    for name in re.findall(r'examples/\w+\.py', readme):
        assert (ROOT / name).exists()
