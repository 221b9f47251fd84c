"""Public names in a hosted zone of Amazon Route 53.

Decisions (``sets``, ``prepared``) are pure; ``kind`` looks, ``lookup`` asks by DNS as anybody would, each verb has its own file.
"""

from dr.providers.aws.route53.kind import Route53Records

__all__ = ["Route53Records"]
