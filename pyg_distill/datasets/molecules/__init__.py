"""The grammar that toy molecules grow by; see `ToyMolecules`."""
