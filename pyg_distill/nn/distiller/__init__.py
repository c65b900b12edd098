r"""A student, its losses, and the teacher that it listens to."""

from pyg_distill.nn.distiller.distiller import Distiller
from pyg_distill.nn.distiller.teacher_cache import TeacherCache

__all__ = ['Distiller', 'TeacherCache']
