"""Roles are assumed as their trust policy says.

Why not moto's: any role can be assumed, even one that does not exist, with any external id or none.
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html (external ids)
"""

from __future__ import annotations

import json
from typing import Any

from moto.iam.models import iam_backends

from tests.aws.emulator.registry import control, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal


@control
def add_role(account: str, name: str, external_id: str) -> None:
    """A role of another account, which trusts this one with this external id."""
    condition = {"StringEquals": {"sts:ExternalId": external_id}}
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam_backends[account]["aws"].create_role(name, document, "/", None, "", [], "3600")


@operation("sts:AssumeRole")
def assume_role(call: Call) -> None:
    """Refused without saying why, as AWS does: no such role, nobody trusted with AWS, another external id than the policy's."""
    arn, external = call.params["RoleArn"], call.params.get("ExternalId")
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    roles = iam_backends[account]["aws"].roles.values()
    document = next((role.assume_role_policy_document for role in roles if role.name == name), None)
    statements = json.loads(document or "{}").get("Statement", [])
    if not any(_trusts(statement, external) for statement in statements):
        who = f"arn:aws:iam::{ACCOUNT}:user/dr"
        raise Refusal("AccessDenied", f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {arn}", 403)


def _trusts(statement: dict[str, Any], external: str | None) -> bool:
    principal = statement.get("Principal", {})
    if statement["Effect"] != "Allow" or not (principal == "*" or "AWS" in principal):
        return False
    wanted = statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId")
    return wanted is None or wanted == external
