"""Shared state: the tables that it lies on, and two machines that use one."""
