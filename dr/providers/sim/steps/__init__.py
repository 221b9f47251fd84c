"""Simulated operations: observe, act, verify over the wire, one module for each sort of store."""
