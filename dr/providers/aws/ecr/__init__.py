"""The kind ``aws.ecr``: the images that Deployments run and may go back to, in one private registry for each region.

Decisions, pure: ``wanted`` (which images), ``lifecycle`` (which of them a policy would expire), ``judge``. Asking: ``look``. What a run
does: ``steps``. Nothing is pushed: ECR has no copy of its own, and a digest that is missing comes by its rule or by a push.
"""

from dr.providers.aws.ecr.kind import Ecr as Ecr
