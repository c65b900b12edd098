import re
from itertools import chain
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

NUMBER = re.compile(r'(?<![\w.])\d*\.?\d+')
# Pages whose code goes on where that of the one before ends.
TOGETHER = [
    ('tour',),
    ('own_data',),
    ('selection',),
    ('how_it_works',),
    ('evaluate',),
    ('shared_trees',),
    ('large',),
    ('compile',),
    ('compress', 'tasks', 'abkd'),
]


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


@pytest.mark.slow
def test_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert run({}, 'README.md') == 2
    out = capsys.readouterr().out
    assert 'distinct trees in all' in out
    assert out.count('Test accuracy: 0.') == 4


@pytest.mark.slow
@pytest.mark.parametrize('names', TOGETHER, ids='-'.join)
def test_docs(names: tuple[str, ...]) -> None:
    assert run({}, *(f'docs/{name}.rst' for name in names)) > 0


def test_every_document_with_code_is_run() -> None:
    with_code = {
        path.stem
        for path in (ROOT / 'docs').glob('*.rst')
        if BLOCKS['.rst'].search(path.read_text())
    }
    assert with_code == set(chain.from_iterable(TOGETHER))


def test_numbers_of_when_not_are_those_of_the_pages_it_points_to() -> None:
    text = (ROOT / 'docs' / 'when_not.rst').read_text()
    pages = {*re.findall(r':doc:`(\w+)`', text), 'how_it_works'}
    quoted = ' '.join(
        (ROOT / 'docs' / f'{page}.rst').read_text() for page in pages
    )
    known = set(NUMBER.findall(quoted))
    numbers = NUMBER.findall(text)
    assert len(numbers) > 20
    assert {number for number in numbers if number not in known} == set()


def test_readme_names_the_examples() -> None:
    readme = (ROOT / 'README.md').read_text()
    for name in re.findall(r'examples/\w+\.py', readme):
        assert (ROOT / name).exists()
