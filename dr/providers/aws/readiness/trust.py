"""What a trust policy of IAM says about OIDC issuers. Pure.

A cluster's pods take a role on with a token of the cluster's own issuer; each EKS cluster has another one, so a role that names only the
primary's is useless in the secondary. https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ACTIONS = ("sts:AssumeRoleWithWebIdentity", "sts:*", "*")
_PODS = "pods.eks.amazonaws.com"


def bare(issuer: str) -> str:
    """An issuer as IAM names it: without ``https://``."""
    return issuer.removeprefix("https://").rstrip("/")


def trusts(policy: Mapping[str, Any], issuer: str) -> str:
    """Why a role cannot be taken on with a token of an issuer; empty: it can.

    A statement counts that allows it for the issuer's provider and has no condition on another issuer: conditions are joined by "and",
    and a token has keys of its own issuer only. EKS Pod Identity trusts a service instead, whichever cluster it is.
    """
    wanted, elsewhere = bare(issuer), ""
    for statement in _statements(policy):
        if _PODS in _many(statement.get("Principal", {}), "Service"):
            return ""
        providers = [str(one).partition(":oidc-provider/")[2] for one in _many(statement.get("Principal", {}), "Federated")]
        if wanted not in providers or not set(_many(statement, "Action")) & set(_ACTIONS):
            continue
        others = sorted({key for key in _condition_keys(statement) if "/id/" in key and not key.startswith(f"{wanted}:")})
        if not others:
            return ""
        elsewhere = f"it trusts {wanted} under a condition on {others[0]}, which no token of it has"
    return elsewhere or f"it does not trust {wanted}"


def _statements(policy: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = policy.get("Statement", ())
    for statement in [found] if isinstance(found, Mapping) else found:
        if statement.get("Effect") == "Allow":
            yield statement


def _many(holder: Any, key: str) -> Sequence[str]:
    """One or many, as policies may write both; ``*`` for any principal."""
    if isinstance(holder, str):
        return (holder,)
    found = holder.get(key, ())
    return (found,) if isinstance(found, str) else tuple(found)


def _condition_keys(statement: Mapping[str, Any]) -> Iterator[str]:
    for keys in (statement.get("Condition") or {}).values():
        yield from map(str, keys)
