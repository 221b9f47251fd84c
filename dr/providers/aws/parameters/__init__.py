"""AWS Systems Manager Parameter Store: parameters that AWS does not replicate, compared and copied by ``dr``.

``calls`` and ``config`` are data; ``side`` reads one region; ``standing`` compares two (pure); ``steps`` copies, on condition of what was
read.
"""

from dr.providers.aws.parameters.kind import SsmParameters

__all__ = ["SsmParameters"]
