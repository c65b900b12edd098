"""The grammar of toy molecules: a skeleton grows, then groups decorate it.

With these weights, computation trees are as skewed as those of NCI1 (see
:obj:`benchmarks/toy_molecules.py`).
"""

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import TypeVar

T = TypeVar('T')


class Draw:
    """A stream of random choices that is named by numbers.

    It is made of :meth:`random.Random.random` alone, the only generator that
    is promised to give the same numbers in every version.
    """

    def __init__(self, *seed: int) -> None:
        self._uniform = Random(' '.join(map(str, seed))).random

    def chance(self, probability: float) -> bool:
        """Says yes with the given probability."""
        return self._uniform() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Picks one of the options, which are equally likely."""
        return options[int(self._uniform() * len(options))]

    def weighted(self, weights: Mapping[T, int]) -> T:
        """Picks one of the keys, as often as their weights say."""
        bounds = list(accumulate(weights.values()))
        place = bisect(bounds, self._uniform() * bounds[-1])
        return list(weights)[place]


VALENCE = {
    **{'C': 4, 'N': 3, 'O': 2, 'F': 1, 'P': 3},
    **{'S': 2, 'Cl': 1, 'Br': 1, 'I': 1},
}

# What a bond takes of the valence of its ends. An aromatic atom gives one more
# electron to its ring, which is taken when the atom is added.
ORDER = {'single': 1, 'double': 2, 'triple': 3, 'aromatic': 1}

_BOND = {'=': 'double', '#': 'triple'}
_TOKEN = re.compile(r'\[nH\]|Cl|Br|[A-Z]|[a-z]|[=#()]|\d')


@dataclass
class Molecule:
    """A molecule under construction: elements, and bonds by their kind."""

    atoms: list[str] = field(default_factory=list)
    bonds: list[tuple[int, int, str]] = field(default_factory=list)
    # The valence left, negative where nitro and sulfonyl stretch the usual one.
    free: list[int] = field(default_factory=list)

    def add(self, element: str, valence: int) -> int:
        """Adds an atom and returns its number."""
        self.atoms.append(element)
        self.free.append(valence)
        return len(self.atoms) - 1

    def join(self, first: int, second: int, bond: str) -> None:
        """Joins two atoms by a bond."""
        self.bonds.append((first, second, bond))
        self.free[first] -= ORDER[bond]
        self.free[second] -= ORDER[bond]

    def attach(self, piece: 'Molecule', site: int) -> None:
        """Joins the first atom of a piece to an atom by a single bond."""
        start = len(self.atoms)
        self.atoms += piece.atoms
        self.free += piece.free
        self.bonds += [(i + start, j + start, b) for i, j, b in piece.bonds]
        self.join(site, start, 'single')

    def sites(self, element: str = '') -> list[int]:
        """Lists the atoms, of one element or any, that can take a bond."""
        return [
            atom
            for atom, free in enumerate(self.free)
            if free > 0 and element in ('', self.atoms[atom])
        ]


def parse(smiles: str) -> Molecule:
    """Reads the part of SMILES that the grammar of toy molecules needs."""
    molecule = Molecule()
    aromatic: list[bool] = []
    branches: list[int] = []
    rings: dict[str, int] = {}
    last, bond = -1, ''

    def join(first: int, second: int) -> None:
        implied = aromatic[first] and aromatic[second]
        kind = bond or ('aromatic' if implied else 'single')
        molecule.join(first, second, kind)

    for token in _TOKEN.findall(smiles):
        if token == '(':
            branches.append(last)
        elif token == ')':
            last = branches.pop()
        elif token in _BOND:
            bond = _BOND[token]
        elif token in rings:
            join(rings.pop(token), last)
            bond = ''
        elif token.isdigit():
            rings[token] = last
        else:
            element = token.strip('[]H').capitalize()
            aromatic.append(element not in token)
            # The ring gets a lone pair from [nH], o and s: of no valence.
            shared = token in {'c', 'n'}
            atom = molecule.add(element, VALENCE[element] - shared)
            if last >= 0:
                join(last, atom)
            last, bond = atom, ''
    return molecule


def _weights(table: str) -> dict[str, int]:
    pairs = (entry.split() for entry in table.split(','))
    return {smiles: int(weight) for smiles, weight in pairs}


CLASSES = {'neutral': 40, 'acid': 35, 'base': 25}

RINGS = _weights("""
    c1ccccc1 23, c1ccncc1 6, c1ccc2ccccc2c1 6, C1CCCC1 6, C1CCCCC1 4,
    c1ccc(N)cc1 3, c1ccc(OC)cc1 3, C1CCC(=O)CC1 3, N1CCCCC1 3, N1CCOCC1 3,
    c1cncnc1 3, c1ccsc1 3, c1cc2ccccc2[nH]1 3, c1ccoc1 2, C1CCC2CCCCC2C1 2
""")

# The last atom is a carbon, and carbonyls are closed on both sides, so that a
# skeleton holds neither an acid nor a base.
LINKERS = _weights("""
    C 12, OC 12, CC 8, C(=O)NC 7, NC 6, C(C)C 6, C(=O)OC 6, C(=O)C 4,
    C(=O)CC 3, SC 3, C=C 2, C(O)C 2, CN(C)C 2, S(=O)(=O)NC 1
""")

# Groups that decide nothing, of the same elements as those that do.
DISTRACTORS = _weights("""
    C 26, O 24, Cl 14, OC 12, N(=O)=O 9, C(=O)OC 6, C(=O)N 6, F 4, C#N 4, Br 4,
    C(=O)C 4, N(C)C 4, S(=O)(=O)N 3, C(F)(F)F 2, SC 2, I 1, P(=O)(OC)OC 1
""")

DECISIVE = {
    'acid': {'C(=O)O': 6, 'CC(=O)O': 2, 'S(=O)(=O)O': 2},
    'base': {'CN': 3, 'CCN': 2, 'C(C)N': 1},
}

SKELETON_ATOMS = range(8, 21)
NUM_GROUPS = range(1, 5)
RING_RATE = 0.28
LAST_SITE_RATE = 0.35
AMPHOTERIC_RATE = 0.06
LABEL_NOISE = 0.12


def grow(draw: Draw) -> tuple[Molecule, str]:
    """Grows a molecule, and names the class that it is labelled with."""
    kind = draw.weighted(CLASSES)
    molecule = _skeleton(draw)
    number, groups = draw.pick(NUM_GROUPS), []
    if kind in DECISIVE:
        both = draw.chance(AMPHOTERIC_RATE)
        kinds = list(DECISIVE) if both else [kind]
        groups = [draw.weighted(DECISIVE[kind]) for kind in kinds]
    while len(groups) < number:
        groups.append(draw.weighted(DISTRACTORS))
    for group in groups:
        # Not on the oxygen of an acid, which would become an ester.
        if sites := molecule.sites('C'):
            molecule.attach(parse(group), draw.pick(sites))
    if draw.chance(LABEL_NOISE):
        kind = draw.pick(list(CLASSES))
    return molecule, kind


def _skeleton(draw: Draw) -> Molecule:
    size = draw.pick(SKELETON_ATOMS)
    molecule = parse(draw.weighted(RINGS))
    while len(molecule.atoms) < size:
        table = RINGS if draw.chance(RING_RATE) else LINKERS
        piece = parse(draw.weighted(table))
        carbon = piece.atoms[0] == 'C'
        sites = molecule.sites() if carbon else molecule.sites('C')
        # Growth at the end makes chains, elsewhere branches.
        last = draw.chance(LAST_SITE_RATE)
        molecule.attach(piece, sites[-1] if last else draw.pick(sites))
    return molecule
