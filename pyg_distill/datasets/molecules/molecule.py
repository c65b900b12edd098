"""Molecules without their hydrogens: read from SMILES, joined into others."""

import re
from dataclasses import dataclass, field

VALENCE = {
    'C': 4,
    'N': 3,
    'O': 2,
    'F': 1,
    'P': 3,
    'S': 2,
    'Cl': 1,
    'Br': 1,
    'I': 1,
}

# What a bond takes of the valence of its ends. Of the electrons that go round
# an aromatic ring, each atom gives one however many of its bonds are aromatic;
# so it is taken when the atom is added, and the bonds count as single ones.
ORDER = {'single': 1, 'double': 2, 'triple': 3, 'aromatic': 1}

_BOND = {'=': 'double', '#': 'triple'}
_TOKEN = re.compile(r'\[nH\]|Cl|Br|[A-Z]|[a-z]|[=#()]|\d')


@dataclass
class Molecule:
    """A molecule under construction.

    Attributes:
        atoms (list): The element of each atom.
        bonds (list): Each bond as a tuple (atom, atom, key of
            :obj:`ORDER`).
        free (list): The valence that each atom has left. It is negative in
            groups that stretch the usual one, as nitro and sulfonyl do.
    """

    atoms: list[str] = field(default_factory=list)
    bonds: list[tuple[int, int, str]] = field(default_factory=list)
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
    """Reads as much of SMILES as the grammar of toy molecules needs.

    Args:
        smiles (str): For example :obj:`'c1ccccc1C(=O)O'`, benzoic acid.

    Returns:
        Molecule: The molecule, its atoms in the order of writing.
    """
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
