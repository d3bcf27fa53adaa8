"""o1lib: the o1 roadmap on a laptop."""

__version__ = "0.4.0"
