"""What S3 has: buckets that replicate into the other region, and back or not, and buckets that do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dr.errors import StepError
from dr.providers.aws.calls import Call
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.found import Found, Gap, last, plain_name
from dr.providers.aws.names import partition
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of
from dr.providers.aws.s3.calls import ENCRYPTION, REPLICATION

LIST = Call("s3", "ListBuckets", action="s3:ListAllMyBuckets")
"""The account's buckets, of one region.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html: BucketRegion, ContinuationToken."""

ACCESS_POINTS = Call("s3control", "ListMultiRegionAccessPoints", home="us-west-2", action="s3:ListMultiRegionAccessPoints")
"""All Multi-Region Access Points of an account. Requests for them go to us-west-2.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_ListMultiRegionAccessPoints.html"""

_NONE = ("ReplicationConfigurationNotFoundError", "ServerSideEncryptionConfigurationNotFoundError")
Rules = list[Mapping[str, Any]]


def look(ask: Ask, account: str) -> Iterator[Found]:
    """Two listings, access points, and for each bucket its rules; for each pair the way back and the keys."""
    mine = [item["Name"] for item in ask.pages(ask.primary, LIST, "Buckets", BucketRegion=ask.primary.code)]
    theirs = {item["Name"] for item in ask.pages(ask.secondary, LIST, "Buckets", BucketRegion=ask.secondary.code)}
    names = [name for name in mine if ask.picks(f"arn:{partition(ask.primary)}:s3:::{name}")]
    asked = ask.each(names, lambda name: _rules(ask, ask.primary, name))
    targets: dict[str, str] = {}
    for name, rules in asked:
        if isinstance(rules, list):
            partners = [bucket for rule in rules if (bucket := _target(rule)) in theirs]
            targets |= {name: partners[0]} if partners else {}
    pairs = list(targets.items())
    points = _access_points(ask, account) if pairs else {}
    back = dict(ask.each(pairs, lambda pair: _rules(ask, ask.secondary, pair[1])))
    keys = dict(ask.each(pairs, lambda pair: (_key(ask, ask.primary, pair[0]), _key(ask, ask.secondary, pair[1]))))
    for name, rules in asked:
        if isinstance(rules, StepError):
            ask.refuse(f"bucket {name}", rules)
        elif name not in targets:
            yield _alone(ask, name, rules)
        else:
            pair = (name, targets[name])
            yield _pair(ask, pair, rules, back[pair], keys[pair], points)


def _rules(ask: Ask, place: Place, bucket: str) -> Rules:
    """The rules that are on; none where there is no configuration. Raises StepError."""
    try:
        answer = ask.read(place, REPLICATION, Bucket=bucket)
    except StepError as error:
        if code_of(error) in _NONE:
            return []
        raise
    return [rule for rule in answer["ReplicationConfiguration"]["Rules"] if rule["Status"] == "Enabled"]


def _target(rule: Mapping[str, Any]) -> str:
    return last(rule["Destination"]["Bucket"])


def _key(ask: Ask, place: Place, bucket: str) -> str:
    """The customer's key that a bucket encrypts with; empty: it is not the customer's, or the bucket does not say."""
    try:
        answer = ask.read(place, ENCRYPTION, Bucket=bucket)
    except StepError:
        return ""
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    key = next((str(rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID", "")) for rule in rules
                if "ApplyServerSideEncryptionByDefault" in rule), "")  # fmt: skip
    return key if key.startswith("arn:") and ":key/" in key else ""


def _access_points(ask: Ask, account: str) -> dict[frozenset[str], str]:
    """By the buckets behind them, their ARNs."""
    found: dict[frozenset[str], str] = {}
    try:
        token: dict[str, str] = {}
        while True:
            answer = ask.read(ask.primary, ACCESS_POINTS, AccountId=account, **token)
            for point in answer.get("AccessPoints", ()):
                buckets = frozenset(region["Bucket"] for region in point.get("Regions", ()))
                found[buckets] = f"arn:aws:s3::{account}:accesspoint/{point['Alias']}"
            if not answer.get("NextToken"):
                return found
            token = {"NextToken": answer["NextToken"]}
    except StepError as error:
        ask.refuse("Multi-Region Access Points", error)
        return found


def _pair(
    ask: Ask, pair: tuple[str, str], rules: Rules, back: Rules | StepError, keys: tuple[str, str] | StepError,
    points: dict[frozenset[str], str],
) -> Found:  # fmt: skip
    (name, other), (here, there) = pair, ask.codes
    comments, gaps = [], []
    if isinstance(back, StepError):
        ask.refuse(f"the way back of bucket {other}", back)
    elif not any(_target(rule) == name for rule in back):
        fix = f"aws s3api put-bucket-replication --region {there} --bucket {other}: a rule to {name}, replica modification sync on both"
        gaps.append(Gap(f"bucket {other}", f"it does not replicate back into {name}: what is written after a failover stays there", fix))
    own = [rule for rule in rules if _target(rule) == other]
    if not any(rule["Destination"].get("ReplicationTime", {}).get("Status") == "Enabled" for rule in own):
        comments.append("without Replication Time Control nobody promises how far behind it is")
    if not any(_everything(rule) for rule in own):
        comments.append("its rules replicate some of the objects only (a filter on prefix or tags)")
    pages = ("", "") if isinstance(keys, StepError) else keys
    sides = {code: {"bucket": bucket} | ({"kms_key": key} if key else {}) for code, bucket, key in zip(ask.codes, pair, pages, strict=True)}
    settings: dict[str, Any] = {"regions": sides}
    access = next((arn for buckets, arn in points.items() if set(pair) <= buckets), "")
    if access:
        settings["access_point"] = access
    after = ("batch_role: a role that S3 Batch Operations may take on     # replicates what is missing after a failover",)
    return Found(plain_name(name, here, there), "aws.s3-bucket", settings, tuple(comments), after, tuple(gaps))


def _everything(rule: Mapping[str, Any]) -> bool:
    chosen = rule.get("Filter", {})
    return not (rule.get("Prefix") or chosen.get("Prefix") or chosen.get("Tag") or chosen.get("And"))


def _alone(ask: Ask, name: str, rules: Rules) -> Found:
    here, there = ask.codes
    elsewhere = ", ".join(_target(rule) for rule in rules)
    why = f"its rules lead to {elsewhere}, which is not in {there}" if rules else "it has no replication rule"
    fix = f"a bucket in {there}, versioning on both, then aws s3api put-bucket-replication --region {here} --bucket {name}"
    settings = {"regions": {here: {"bucket": name}, there: {"bucket": f"{plain_name(name, here, there)}-{there}"[:63]}}}
    return Found(plain_name(name, here, there), "aws.s3-bucket", settings, gaps=(Gap(f"bucket {name}", why, fix),), active=False)
