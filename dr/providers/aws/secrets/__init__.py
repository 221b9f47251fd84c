"""AWS Secrets Manager: secrets with a replica in the other region.

``calls`` and ``config`` are data; ``side`` reads one region; ``judge`` compares two (pure); ``chains`` and ``by_hand`` lay out the steps of
``prepare`` and ``way_back``. No value ever leaves ``side`` but in the one call that copies it.
"""

from dr.providers.aws.secrets.kind import SecretsManager

__all__ = ["SecretsManager"]
