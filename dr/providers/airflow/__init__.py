"""Airflow-style Deployments: hold, inside checks, reconcile, start in order, canary, identities.

Decisions (``tasks``, ``look``, ``certificates.judge``, ``chain``) do no I/O; ``fleet`` is where all of it starts. Knows databases and
name servers only by the two small Protocols in ``databases`` and ``names``.
"""

from dr.providers.airflow.kind import AirflowDeployments

__all__ = ["AirflowDeployments"]
