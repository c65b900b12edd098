r"""What connects this package to other frameworks around PyG."""

from pyg_distill.contrib.graphgym import register_graphgym

frameworks = ['register_graphgym']

__all__ = frameworks
