"""Everything that can go wrong in a simulated world, by name. See ``catalogue``."""

from dr.simulate.faults.catalogue import CATALOGUE, draw

__all__ = ["CATALOGUE", "draw"]
