"""Graph, planner, guards, machine, attempt, runner: decides and carries out a run. Imports no provider, no server, no click.

The machine is pure; the runner is one of its hosts.
"""
