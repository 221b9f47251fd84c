"""Routing controls of Application Recovery Controller: switches on a cluster with five endpoints, of which three are always there."""

from dr.providers.aws.routing_control.kind import RoutingControl

__all__ = ["RoutingControl"]
