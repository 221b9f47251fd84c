"""The processes that make the lab a platform: the Deployments' runtime of a region, the remote-execution agent, the outside client.

Each is its own process with its own clock. None of them knows the orchestrator, and the client knows nothing but public names:
what it records is the only source of the truth.
"""
