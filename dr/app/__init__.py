"""The composition root: state directory + runbook → kinds, plan, runner, monitor, drill.

Chooses and wires; decides nothing about a disaster. Heavy libraries are imported in the functions that need them: start-up is
part of the product.
"""

from dr.app.facade import App
from dr.app.platform import Platform

__all__ = ["App", "Platform"]
