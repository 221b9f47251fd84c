"""The search of tags knows what moto's does not: repositories of ECR.

Source: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html
"""

from __future__ import annotations

import json

from moto.ecr.models import ecr_backends

from tests.aws.emulator.registry import after
from tests.aws.emulator.wire import ACCOUNT, Answer, Call


@after("resourcegroupstaggingapi:GetResources")
def get_resources(call: Call, answer: Answer) -> Answer | None:
    """https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html: tags by "and", values by "or"."""
    asked = call.params.get("ResourceTypeFilters") or ["ecr"]
    if call.params.get("PaginationToken") or not {"ecr", "ecr:repository"} & set(asked):
        return None
    body = json.loads(answer.body)
    backend = ecr_backends[ACCOUNT][call.region]
    for repository in backend.repositories.values():
        tags = backend.tagger.get_tag_dict_for_resource(repository.arn)
        wanted = call.params.get("TagFilters") or []
        if tags and all(one["Key"] in tags and tags[one["Key"]] in (one.get("Values") or [tags[one["Key"]]]) for one in wanted):
            shown = [{"Key": key, "Value": value} for key, value in tags.items()]
            body["ResourceTagMappingList"].append({"ResourceARN": repository.arn, "Tags": shown})
    return call.answer(body)
