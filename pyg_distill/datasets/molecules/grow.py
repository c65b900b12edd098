"""The grammar of toy molecules: a skeleton grows, then groups decorate it.

All weights are calibrated together, such that computation trees are as skewed
as those of NCI1 (see :obj:`benchmarks/toy_molecules.py`).
"""

from pyg_distill.datasets.molecules.draw import Draw
from pyg_distill.datasets.molecules.molecule import Molecule, parse

CLASSES = {'neutral': 40, 'acid': 35, 'base': 25}

RINGS = {
    'c1ccccc1': 23,
    'c1ccncc1': 6,
    'c1ccc2ccccc2c1': 6,
    'C1CCCC1': 6,
    'C1CCCCC1': 4,
    'c1ccc(N)cc1': 3,
    'c1ccc(OC)cc1': 3,
    'C1CCC(=O)CC1': 3,
    'N1CCCCC1': 3,
    'N1CCOCC1': 3,
    'c1cncnc1': 3,
    'c1ccsc1': 3,
    'c1cc2ccccc2[nH]1': 3,
    'c1ccoc1': 2,
    'C1CCC2CCCCC2C1': 2,
}

# The last atom is a carbon, and carbonyls are closed on both sides: however
# the skeleton goes on or ends, it holds neither an acid nor a base.
LINKERS = {
    'C': 12,
    'OC': 12,
    'CC': 8,
    'C(=O)NC': 7,
    'NC': 6,
    'C(C)C': 6,
    'C(=O)OC': 6,
    'C(=O)C': 4,
    'C(=O)CC': 3,
    'SC': 3,
    'C=C': 2,
    'C(O)C': 2,
    'CN(C)C': 2,
    'S(=O)(=O)NC': 1,
}

# Groups that decide nothing, of the same elements as those that do.
DISTRACTORS = {
    'C': 26,
    'O': 24,
    'Cl': 14,
    'OC': 12,
    'N(=O)=O': 9,
    'C(=O)OC': 6,
    'C(=O)N': 6,
    'F': 4,
    'C#N': 4,
    'Br': 4,
    'C(=O)C': 4,
    'N(C)C': 4,
    'S(=O)(=O)N': 3,
    'C(F)(F)F': 2,
    'SC': 2,
    'I': 1,
    'P(=O)(OC)OC': 1,
}

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
    """Grows a molecule.

    Args:
        draw (Draw): The random choices.

    Returns:
        tuple: The molecule and the class that it is labelled with.
    """
    kind = draw.weighted(CLASSES)
    molecule = _skeleton(draw)
    _decorate(molecule, _groups(kind, draw), draw)
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


def _groups(kind: str, draw: Draw) -> list[str]:
    number = draw.pick(NUM_GROUPS)
    groups = []
    if kind in DECISIVE:
        both = draw.chance(AMPHOTERIC_RATE)
        kinds = list(DECISIVE) if both else [kind]
        groups = [draw.weighted(DECISIVE[kind]) for kind in kinds]
    while len(groups) < number:
        groups.append(draw.weighted(DISTRACTORS))
    return groups


def _decorate(molecule: Molecule, groups: list[str], draw: Draw) -> None:
    for group in groups:
        # Not on the oxygen of an acid, which would become an ester.
        if sites := molecule.sites('C'):
            molecule.attach(parse(group), draw.pick(sites))
