"""What IAM has: roles that pods take on by the token of a cluster, and whether the other region's cluster is trusted, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dr.errors import StepError
from dr.providers.aws.calls import Call
from dr.providers.aws.discover.ask import Ask, pairs
from dr.providers.aws.discover.found import Found, Gap
from dr.providers.aws.readiness.iam_trust import PROVIDERS, ROLES
from dr.providers.aws.readiness.trust import trusts

TAGS = Call("iam", "ListRoleTags", home="us-east-1")
"""The tags of one role; no search of tags knows roles.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoleTags.html; NoSuchEntity, ServiceFailure."""

_MARK = "oidc.eks."


def look(ask: Ask) -> Iterator[Found]:
    """Two listings, both in us-east-1, where IAM lives; with tags one call more for each role that trusts a cluster."""
    listed = ask.read(ask.primary, PROVIDERS)["OpenIDConnectProviderList"]
    known = sorted(str(item["Arn"]).partition(":oidc-provider/")[2] for item in listed)
    mine, theirs = ([issuer for issuer in known if issuer.startswith(f"{_MARK}{code}.")] for code in ask.codes)
    if not mine:
        return
    roles = ask.pages(ask.primary, ROLES, "Roles", PaginationConfig={"PageSize": 1000})
    policies = {str(role["RoleName"]): role["AssumeRolePolicyDocument"] for role in roles}
    for issuer in mine:
        named = [name for name in sorted(policies) if f"oidc-provider/{issuer}" in str(policies[name])]
        meant = [name for name in named if not trusts(policies[name], issuer)]
        chosen = _tagged(ask, meant)
        if chosen:
            yield _pair(ask, issuer, theirs, {name: policies[name] for name in chosen})


def _tagged(ask: Ask, names: list[str]) -> list[str]:
    if not ask.tags:
        return names
    asked = ask.each(names, lambda name: ask.pages(ask.primary, TAGS, "Tags", RoleName=name))
    for _, answer in asked:
        if isinstance(answer, StepError):
            raise answer
    return [name for name, answer in asked if isinstance(answer, list) and ask.has(pairs(answer))]


def _pair(ask: Ask, issuer: str, others: Iterable[str], policies: Mapping[str, Any]) -> Found:
    """Roles of a cluster, and the issuer in the secondary that most of them trust."""
    here, there = ask.codes
    counted = {other: sum(not trusts(policy, other) for policy in policies.values()) for other in others}
    best = max(counted, key=lambda other: (counted[other], other), default="")
    gaps = []
    if not best:
        fix = f"aws iam create-open-id-connect-provider --url https://ISSUER --client-id-list sts.amazonaws.com, of the cluster in {there}"
        gaps.append(Gap(f"roles that trust {issuer}", f"no issuer of a cluster in {there} is an identity provider of the account", fix))
    else:
        fix = "aws iam update-assume-role-policy: name both issuers; --role-name"
        gaps += [Gap(f"role {name}", f"it does not trust {best}", f"{fix} {name}") for name in policies if trusts(policies[name], best)]
    issuers = {here: {"issuer": f"https://{issuer}"}, there: {"issuer": f"https://{best or f'{_MARK}{there}.amazonaws.com/id/…'}"}}
    settings = {"trusted": list(policies), "regions": issuers}
    return Found("trust", "aws.iam-trust", settings, (), (), tuple(gaps), active=bool(best))
