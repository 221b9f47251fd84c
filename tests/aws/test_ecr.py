"""aws.ecr: two registries in the emulator; which digests are missing, why, what would expire them, and what a run says of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import ValidationError

from dr.errors import Permanent, StepError, Transient, UsageError
from dr.model.evidence import Accounted, Following
from dr.model.identity import ImageUse, ImageUses
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Severity, Verb
from dr.ports import Kind, Look
from dr.providers.aws.ecr import Ecr
from dr.providers.aws.ecr.config import EcrConfig
from dr.providers.aws.ecr.lifecycle import Stored, expiring
from dr.providers.aws.ecr.wanted import wanted
from dr.providers.aws.kind import used
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registries:
    """One repository of a test, in both regions."""

    def __init__(self, emulator: Emulator, *, rules: bool = True) -> None:
        self.emulator, self.name = emulator, f"airflow-{uuid.uuid4().hex[:8]}"
        self.pushed: list[tuple[str, str]] = []
        for region in CODES:
            self.client(region).create_repository(repositoryName=self.name)
            self.rule(region, "" if rules else "nothing-")

    def client(self, region: str) -> Any:
        return self.emulator.client("ecr", CODES[region])

    def rule(self, region: str, prefix: str = "") -> None:
        other = next(code for name, code in CODES.items() if name != region)
        rule: dict[str, Any] = {"destinations": [{"region": other, "registryId": ACCOUNT}]}
        if prefix:
            rule["repositoryFilters"] = [{"filter": prefix, "filterType": "PREFIX_MATCH"}]
        self.client(region).put_replication_configuration(replicationConfiguration={"rules": [rule]})

    def push(self, region: str, tag: str) -> str:
        layer = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1, "digest": f"sha256:{uuid.uuid4().hex * 2}"}
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": f"sha256:{uuid.uuid4().hex * 2}"}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        answer = self.client(region).put_image(repositoryName=self.name, imageManifest=json.dumps(manifest), imageTag=tag)
        digest: str = answer["image"]["imageId"]["imageDigest"]
        self.pushed.append((region, digest))
        return digest

    def settle(self, rig: Rig) -> None:
        """Until every image is where its rule sends it, or has failed to get there."""
        for region, digest in self.pushed:
            while "IN_PROGRESS" in self.states(region, digest):
                rig.clock.sleep(0.05)

    def states(self, region: str, digest: str) -> list[str]:
        asked = {"repositoryName": self.name, "imageId": {"imageDigest": digest}}
        return [item["status"] for item in self.client(region).describe_image_replication_status(**asked)["replicationStatuses"]]

    def expire(self, region: str, **selection: Any) -> None:
        policy = {"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}
        self.client(region).put_lifecycle_policy(repositoryName=self.name, lifecyclePolicyText=json.dumps(policy))

    def settings(self, *images: str, **more: object) -> dict[str, object]:
        return {"regions": {"east": {}, "west": {}}, "images": list(images), **more}


class Deployments:
    """Stands for ``airflow-deployments``: what each region's database says."""

    def __init__(self, uses: Mapping[str, tuple[ImageUse, ...] | StepError]) -> None:
        self.uses, self.asked = uses, list[str]()

    def image_uses(self, region: str) -> ImageUses:
        self.asked.append(region)
        found = self.uses[region]
        if isinstance(found, StepError):
            raise found
        return ImageUses(region=region, uses=found)


@pytest.fixture
def registries(emulator: Emulator) -> Registries:
    emulator.set_seconds(seconds=0.05)
    return Registries(emulator)


def facts(kind: Ecr) -> dict[str, tuple[Severity, str | None]]:
    return {item.fact: (item.severity, item.region) for item in kind.view().findings}


def deployments(rig: Rig, **uses: tuple[ImageUse, ...] | StepError) -> Deployments:
    made = Deployments(uses)
    rig.peers["deployments"] = cast("Kind", made)
    return made


def use(digest: str, *rollback: str, name: str = "d-1") -> ImageUse:
    return ImageUse(deployment=name, namespace="ns", workspace="ws", image_digest=digest, image_rollback=rollback)


def test_all_there_is_no_finding_and_no_lag(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    digest = registries.push("east", "1")
    registries.settle(rig)
    kind = rig.make(Ecr, "images", registries.settings(f"{registries.name}:1", f"{registries.name}@{digest}"))
    view = kind.view()
    assert (view.findings, view.regions, view.lag) == ((), {}, None)


def test_what_is_missing_is_an_error_with_its_replication_and_the_fix(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    emulator.control("fail_image_replication", repositories=registries.name)
    failed = registries.push("east", "1")
    registries.settle(rig)
    emulator.control("fail_image_replication", repositories=registries.name, failing=False)
    registries.rule("east", "nothing-")
    before = registries.push("east", "2")
    kind = rig.make(
        Ecr, "images", registries.settings(f"{registries.name}@{failed}", f"{registries.name}@{before}", f"{registries.name}:9")
    )
    found = {item.fact: item for item in kind.view().findings}
    assert any("replication FAILED" in fact and item.severity is Severity.ERROR for fact, item in found.items())
    never = next(item for fact, item in found.items() if "replication never began" in fact)
    assert never.region == "west" and never.fix.startswith(
        f"crane copy {ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{registries.name}@{before}"
    )
    assert any(":9 (the runbook) is not in west, and not in east" in fact for fact in found)
    rule = next(item for fact, item in found.items() if "is not replicated to west" in fact)
    assert rule.severity is Severity.WARNING and "put-replication-configuration" in rule.fix


def test_a_tag_that_names_two_digests_is_an_error(rig: Rig, emulator: Emulator) -> None:
    registries = Registries(emulator, rules=False)
    one, other = registries.push("east", "1"), registries.push("west", "1")
    found = facts(rig.make(Ecr, "images", registries.settings(f"{registries.name}:1")))
    assert any(f"names {one} in east and {other} in west" in fact for fact in found)


def test_the_rollback_window_is_needed_too(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    old, new = registries.push("east", "1"), registries.push("east", "2")
    registries.settle(rig)
    gone = f"sha256:{'0' * 64}"
    deployments(rig, east=(use(new, old, gone),), west=())
    kind = rig.make(Ecr, "images", registries.settings(deployments="deployments", repository=registries.name))
    found = facts(kind)
    assert [severity for fact, (severity, _) in found.items() if "000000 (rollback) is not in" in fact] == [Severity.WARNING] * 2, found
    narrow = EcrConfig.model_validate({**kind.config.model_dump(), "rollback": 1})
    assert len(wanted((use(new, old, gone),), narrow)) == 2


def test_a_look_asks_once_for_each_repository_whatever_the_deployments(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    digest = registries.push("east", "1")
    registries.settle(rig)
    deployments(rig, east=tuple(use(digest, name=f"d-{number}") for number in range(80)), west=())
    kind = rig.make(Ecr, "images", registries.settings(deployments="deployments", repository=registries.name))
    kind.view()
    with emulator.counted() as made:
        assert kind.view().findings == ()
    assert [call.name for call in made] == ["ecr:BatchGetImage"] * 2


def test_over_a_hundred_images_are_asked_for_in_parts(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    uses = tuple(use(f"sha256:{number:064d}", name=f"d-{number}") for number in range(150))
    deployments(rig, east=uses, west=())
    kind = rig.make(Ecr, "images", registries.settings(deployments="deployments", repository=registries.name))
    with emulator.counted() as made:
        kind.view()
    assert len([call for call in made if call.operation == "BatchGetImage"]) == 4


@pytest.mark.parametrize(
    ("selection", "tags", "age", "expected"),
    [
        ({"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30}, ("1",), 40, "due"),
        ({"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30}, ("1",), 20, "on 2026-11-11"),
        ({"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 90}, ("1",), 20, ""),
        ({"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}, (), 2, "due"),
        ({"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}, ("1",), 2, ""),
        ({"tagStatus": "tagged", "tagPrefixList": ["v"], "countType": "imageCountMoreThan", "countNumber": 1}, ("v1",), 5, "due"),
        ({"tagStatus": "tagged", "tagPrefixList": ["v"], "countType": "imageCountMoreThan", "countNumber": 2}, ("v1",), 5, "after 1 more"),
        ({"tagStatus": "tagged", "tagPatternList": ["prod*"], "countType": "imageCountMoreThan", "countNumber": 1}, ("v1",), 5, ""),
        ({"tagStatus": "tagged", "tagPrefixList": ["v", "x"], "countType": "imageCountMoreThan", "countNumber": 0}, ("v1",), 5, ""),
        ({"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 1}, ("v1",), 50, ""),
    ],
)
def test_what_a_policy_expires(selection: dict[str, object], tags: tuple[str, ...], age: int, expected: str) -> None:
    ours = Stored("sha256:ours", tags, NOW - timedelta(days=age))
    newer = Stored("sha256:newer", ("v2",), NOW - timedelta(days=1))
    policy = json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
    found = expiring(policy, [ours, newer], NOW).get("sha256:ours")
    assert ("" if found is None else "due" if found.due else found.when).startswith(expected) and bool(found) == bool(expected)


def test_a_rule_of_higher_priority_protects() -> None:
    """An image that a rule chooses is never expired by a later one, though it is counted there."""
    keep = {"tagStatus": "tagged", "tagPrefixList": ["prod"], "countType": "imageCountMoreThan", "countNumber": 100}
    drop = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
    rules = [{"rulePriority": 2, "selection": drop}, {"rulePriority": 1, "selection": keep}]
    images = [Stored(f"sha256:{tag}", (tag,), NOW - timedelta(days=day)) for day, tag in enumerate(("new", "prod-1", "old"))]
    found = expiring(json.dumps({"rules": rules}), images, NOW)
    assert "sha256:prod-1" not in found and found["sha256:old"].due
    assert expiring("not json", images, NOW) == {}


def test_a_policy_that_would_expire_what_runs_is_an_error(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    registries.push("east", "1")
    rig.clock.sleep(1.1)  # moments of pushes are whole seconds
    registries.push("east", "2")
    registries.settle(rig)
    registries.expire("west", tagStatus="any", countType="imageCountMoreThan", countNumber=1)
    found = facts(rig.make(Ecr, "images", registries.settings(f"{registries.name}:1")))
    assert [(at, severity) for fact, (severity, at) in found.items() if "rule 1 of the lifecycle policy" in fact] == [
        ("west", Severity.ERROR)
    ]


def test_a_policy_that_comes_late_is_said_and_known_to_the_next_look(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    registries.push("east", "1")
    registries.settle(rig)
    registries.expire("west", tagStatus="any", countType="sinceImagePushed", countUnit="days", countNumber=1)
    kind = rig.make(Ecr, "images", registries.settings(f"{registries.name}:1"))
    kind._wanted = kind.needed(("west",))
    place, late = kind.places["west"], rig.clock.monotonic()
    emulator.fault(CODES["west"], "slow", "ecr:GetLifecyclePolicy", seconds=0.3)
    side = kind.looker.look(place, kind._wanted, late)
    assert side.settings.unread == 1
    told = [item for item in kind.judge({"west": side}).findings if "were not read in time" in item.fact]
    assert [item.severity for item in told] == [Severity.INFO]
    rig.clock.sleep(0.6)
    side = kind.looker.look(place, kind._wanted, late)
    assert side.settings.unread == 0 and len(side.settings.expiring) == 2, "by its tag and by its digest"


def test_a_cache_of_one_region_only_is_a_finding(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    prefix = f"up-{uuid.uuid4().hex[:6]}"
    rule = {"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": "public.ecr.aws"}
    registries.client("east").create_pull_through_cache_rule(**rule)
    found = facts(rig.make(Ecr, "images", registries.settings(f"{prefix}/airflow:1")))
    assert any(f"east fills {prefix} from public.ecr.aws, and west does not" in fact for fact in found)
    assert any(f"1 images under {prefix} are in east only once" in fact for fact in found)


@pytest.mark.parametrize("intent", list(Intent))
def test_each_chain_is_whole_and_can_be_typed(rig: Rig, registries: Registries, intent: Intent) -> None:
    settings = registries.settings("airflow:1", f"airflow@sha256:{'1' * 64}", deployments="deployments", repository="{namespace}/airflow")
    steps = rig.make(Ecr, "images", settings).steps(intent, "east", "west")
    verbs = {Intent.REPROTECT: [Verb.FOLLOW]}.get(intent, [Verb.PREPARE, Verb.FINGERPRINT])
    assert [step.spec.verb for step in steps] == verbs
    for step in steps:
        assert "aws ecr batch-get-image" in step.spec.by_hand and step.spec.check_by_hand.startswith("test ")
        assert '"$NAMESPACE/airflow"' in step.spec.by_hand
        names = {name for use in used(step) for name in use.resources}
        assert names <= {
            "*", *(f"arn:aws:ecr:{code}:{ACCOUNT}:repository/{name}" for code in CODES.values() for name in ("airflow", "*/airflow"))
        }  # fmt: skip
    if intent is Intent.FAILOVER:
        assert {(touch.region, touch.plane) for step in steps for touch in step.spec.touches} == {("west", "data")}


def test_failover_looks_only_in_the_target(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    digest = registries.push("east", "1")
    registries.settle(rig)
    peer = deployments(rig, east=Transient("gone"), west=(use(digest),))
    kind = rig.make(Ecr, "images", registries.settings(deployments="deployments", repository=registries.name))
    emulator.lose(CODES["east"])
    emulator.clear_calls()
    assert [seen.look for seen in rig.run(kind, Intent.FAILOVER)] == [Look.DONE] * 2
    assert peer.asked == ["west", "west"] and {call.proxy for call in emulator.calls()} == {CODES["west"]}
    assert not rig.undeclared(kind.steps(Intent.FAILOVER, "east", "west"), emulator.calls())
    account = next(item for item in rig.evidence if isinstance(item, Accounted))
    assert (account.checked, account.equal, account.complete) == (1, 1, False)


def test_a_missing_image_blocks_until_it_is_accepted(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    registries.rule("east", "nothing-")
    digest = registries.push("east", "1")
    kind = rig.make(Ecr, "images", registries.settings(f"{registries.name}@{digest}"))
    step = rig.step(kind, Intent.SWITCHOVER, Verb.PREPARE)
    seen = rig.perform(step, Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED and "replication: never began" in seen.reason and "--accept prerequisites" in seen.reason
    assert not rig.undeclared([step], emulator.calls())
    rig.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="me", reason="known", at=NOW),)
    assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE
    account = next(item for item in rig.evidence if isinstance(item, Accounted))
    assert account.missing_total == 1 and account.items_path is not None and account.complete


def test_an_image_of_a_rollback_window_blocks_nothing(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    digest = registries.push("east", "1")
    registries.settle(rig)
    deployments(rig, east=(use(digest, f"sha256:{'0' * 64}"),), west=(use(digest, f"sha256:{'0' * 64}"),))
    kind = rig.make(Ecr, "images", registries.settings(deployments="deployments", repository=registries.name))
    seen = rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    assert seen.look is Look.DONE and "1 of 2 images" in seen.reason


def test_reprotect_wants_the_images_there_and_a_rule_back(rig: Rig, registries: Registries, emulator: Emulator) -> None:
    digest = registries.push("west", "1")
    registries.settle(rig)
    kind = rig.make(Ecr, "images", registries.settings(f"{registries.name}@{digest}"))
    registries.rule("west", "nothing-")
    step = rig.step(kind, Intent.REPROTECT, Verb.FOLLOW)
    seen = rig.perform(step, Intent.REPROTECT)
    assert seen.look is Look.BLOCKED and f"what is pushed to {registries.name} in west is not replicated to east" in seen.reason
    registries.rule("west")
    assert rig.perform(step, Intent.REPROTECT).look is Look.DONE
    assert any(isinstance(item, Following) and item.region == "east" for item in rig.evidence)
    assert not rig.undeclared([step], emulator.calls())


def test_nobody_answers_and_nothing_was_kept(rig: Rig, registries: Registries) -> None:
    deployments(rig, east=Transient("gone"), west=Transient("down"))
    kind = rig.make(Ecr, "images", registries.settings(deployments="deployments", repository=registries.name))
    with pytest.raises(Transient, match="down"):
        rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    assert any("nobody says which images are needed" in fact for fact in facts(kind))
    rig.peers.clear()
    with pytest.raises(Permanent, match="is no component with Deployments"):
        kind.needed(("west",))


@pytest.mark.parametrize(("fault", "error"), [("throttle", Transient), ("deny", Permanent), ("error", Transient)])
def test_what_the_api_refuses(rig: Rig, registries: Registries, emulator: Emulator, fault: str, error: type[Exception]) -> None:
    kind = rig.make(Ecr, "images", registries.settings(f"{registries.name}:1"))
    emulator.fault(CODES["west"], fault, "ecr:BatchGetImage")
    with pytest.raises(error):
        rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    severities = {item.severity for item in kind.view().findings if "ecr BatchGetImage in west" in item.fact}
    assert severities == {Severity.ERROR if fault == "deny" else Severity.WARNING}


@pytest.mark.parametrize(
    "settings",
    [
        {"regions": {"east": {}, "west": {}}},
        {"regions": {"east": {}, "west": {}}, "deployments": "deployments"},
        {"regions": {"east": {}, "west": {}}, "images": ["airflow"]},
        {"regions": {"east": {}, "west": {}}, "deployments": "d", "repository": "{colour}/airflow"},
    ],
)
def test_settings_that_contradict_are_refused(settings: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError):
        EcrConfig.model_validate(settings)


def test_one_aws_region_for_both_is_refused(rig: Rig) -> None:
    one = replace(rig.site, regions=dict.fromkeys(CODES, rig.site.regions["east"]), shared={})
    config = EcrConfig.model_validate({"regions": {"east": {}, "west": {}}, "images": ["airflow:1"]})
    with pytest.raises(UsageError, match="both are us-east-1"):
        Ecr("images", config, (), one)
