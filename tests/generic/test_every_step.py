"""Every operation says what it touches, what it needs to be allowed, and what a person would type instead of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from dr.app import App
from dr.app.by_hand import unseen
from dr.model.plan import StepSpec
from dr.model.words import Intent, Verb
from dr.providers.registry import BUILT_IN

ROOT = Path(__file__).parents[2]
SAID = ("touches", "permissions", "by_hand", "check_by_hand", "estimate", "budget")
_NOBODY = {"touches", "permissions"}
NOTHING_THERE = {"said-yes": _NOBODY, "attested": _NOBODY, "passed": _NOBODY, "blind": {"check_by_hand"}}
"""A person's word and time call nobody; a command that its runbook gives no check has none (``dr runbook check`` says so)."""
MOVES_SAY = {
    ("aws.aurora-global-database", Verb.FENCE),  # the promotion itself fences; what that is worth is said before it
    ("aws.s3-bucket", Verb.PROPAGATE),  # time: AWS says how long
    ("aws.s3-bucket", Verb.FINGERPRINT),  # what the monitor remembers of a lost source
}
"""Steps of AWS kinds that call nobody in a move; in a re-protection they do."""

REST = """
  said-yes: {kind: approval, text: go on?, intents: [failover, switchover, failback, reprotect]}
  attested: {kind: gate, text: is it there?}
  passed: {kind: wait, duration: 1s}
  called: {kind: command, run: [scripts/call, "{target}"], check: [scripts/called]}
  blind: {kind: command, run: [scripts/call]}
  counted: {kind: sql-check, needs: [metadata-db], database: metadata-db, query: select 1, value: "== 1", intents: [failover, reprotect]}
  named: {kind: dns-check, names: [a.dr.test], resolvers: [192.0.2.1], addresses: {east: [192.0.2.2], west: [192.0.2.3]}}
  measured: {kind: metric-check, query: up, expect: "== 1", source: "https://prometheus.example", headers: {Authorization: {env: A_TOKEN}}}
  held: {kind: soak, checks: [smoke, named, measured], duration: 10s}
  pools: {kind: restart, regions: {east: {run: [restart, pool]}, west: {run: [restart, pool]}}}
"""
AWS_REST = """
  reports-db:
    kind: aws.rds-read-replica
    regions:
      us-west-2: {instance: airflow-reports-a, security_groups: [sg-0123456789abcdef0], quarantine: sg-0123456789abcdef1}
      eu-west-1: {instance: airflow-reports-b, instance_class: db.r6g.large}
  asked-db:
    kind: aws.aurora-global-database
    global_cluster: airflow-asked
    regions: {us-west-2: {cluster: asked-a}, eu-west-1: {cluster: asked-b}}
    sql:
      {database: airflow, user: dr, password: {env: A_PASSWORD}, endpoints: {us-west-2: a.db.example.com, eu-west-1: b.db.example.com}}
  uploads:
    kind: aws.s3-bucket
    access_point: "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"
    regions: {us-west-2: {bucket: airflow-uploads-us-west-2}, eu-west-1: {bucket: airflow-uploads-eu-west-1}}
  edited-check:
    kind: aws.route53-health-check
    regions: {us-west-2: {health_check: 11111111-1111-1111-1111-111111111111}, eu-west-1: {}}
  prepared-check:
    kind: aws.route53-health-check
    regions:
      us-west-2:
        health_check: 22222222-2222-2222-2222-222222222222
        object: {in_region: eu-west-1, bucket: airflow-switch-eu-west-1, key: switch}
      eu-west-1:
        health_check: 33333333-3333-3333-3333-333333333333
        metric: {in_region: us-west-2, namespace: Airflow, name: Away}
  edited-names:
    kind: aws.route53-records
    zone: Z0123456789ABCDEFGHIJ
    names: ["*.edited.example.com"]
    mode: edit
    lower_ttl_to: 5s
    regions: {us-west-2: {values: [192.0.2.20]}, eu-west-1: {values: [198.51.100.20]}}
  warm-caches:
    kind: aws.lambda
    intents: [failover, switchover, failback, reprotect]
    check: true
    worlds: [live, lab, sim]
    regions: {us-west-2: {function: warm-caches}, eu-west-1: {function: "warm-caches:live"}}
  quotas:
    kind: aws.quota
    quotas: [{service: ec2, code: L-1216C47A, at_least: 64, as_used: true}]
    regions: {us-west-2: {}, eu-west-1: {}}
  network:
    kind: aws.network
    regions:
      us-west-2: {vpcs: [vpc-0a], reaches: [10.9.0.0/16], transit_gateway_route_tables: [tgw-rtb-0a], egress_allowed: [192.0.2.0/28]}
      eu-west-1: {vpcs: [vpc-0b], reaches: [10.9.0.0/16], transit_gateway_route_tables: [tgw-rtb-0b], egress_allowed: [192.0.2.16/28]}
"""


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """The whole platform of the lab, and a component of every kind that it does without."""
    return beside(tmp_path, "platform", REST)


@pytest.fixture
def everything_of_aws(tmp_path: Path) -> Path:
    """The AWS platform that ships, and a component of every AWS kind, and of every way of one, that it does without."""
    return beside(tmp_path, "airflow-aws", AWS_REST)


def beside(folder: Path, name: str, rest: str) -> Path:
    """A shipped runbook with more components at the end of those that it has."""
    components, approvals, end = (ROOT / f"runbooks/{name}.yaml").read_text().partition("\napprovals:")
    path = folder / f"everything-{name}.yaml"
    path.write_text(components + rest + approvals + end)
    return path


def specs(runbook: Path, state: Path) -> Iterator[tuple[str, StepSpec]]:
    """Every step of every intent, both ways, with words that say which; nothing is connected."""
    app = App(state)
    platform = app.load(runbook)
    try:
        for intent in Intent:
            for source, target in permutations(platform.runbook.regions, 2):
                for spec in unseen(platform, intent, source, target).steps:
                    yield f"{intent} to {target}: {spec.id}", spec
    finally:
        platform.close()
        app.close()


def silent(spec: StepSpec) -> set[str]:
    """What a step does not say, or says wrong: it may take as long as it is thought to take."""
    return {name for name in SAID if not getattr(spec, name)} | ({"budget"} if spec.budget < spec.estimate else set())


def excused(where: str, spec: StepSpec) -> set[str]:
    """What it need not say, and must not."""
    says = (spec.kind, spec.verb) in MOVES_SAY and not where.startswith(Intent.REPROTECT)
    return NOTHING_THERE.get(spec.component, _NOBODY if says else set())


@pytest.mark.parametrize("name", ["lab", "platform", "airflow-aws"])
def test_every_step_of_our_runbooks_says_everything(name: str, tmp_path: Path) -> None:
    """No exception is needed there, but for what calls nobody at AWS; all four intents, both ways."""
    found = dict(specs(ROOT / f"runbooks/{name}.yaml", tmp_path / "state"))
    assert len({where.partition(" ")[0] for where in found}) == len(Intent)
    assert {where: silent(spec) for where, spec in found.items() if silent(spec) != excused(where, spec)} == {}


def test_every_step_of_every_kind_says_everything(everything: Path, everything_of_aws: Path, tmp_path: Path) -> None:
    """Each built-in kind has a step here; only who calls nobody touches nothing, and those exceptions are no wider than they must be."""
    found = {**dict(specs(everything, tmp_path / "state")), **dict(specs(everything_of_aws, tmp_path / "aws"))}
    assert {spec.kind for spec in found.values()} == set(BUILT_IN)
    wrong = {where: silent(spec) for where, spec in found.items() if silent(spec) != excused(where, spec)}
    assert wrong == {}


def test_a_failover_asks_nothing_of_a_lost_region_but_what_it_can_do_without(everything_of_aws: Path, tmp_path: Path) -> None:
    """Every AWS kind; an API that has one home elsewhere says what can be prepared instead. Databases are named where they are asked."""
    found = {where: spec for where, spec in specs(everything_of_aws, tmp_path / "state") if where.startswith("failover to eu-west-1")}
    touched = [(spec.id, touch) for spec in found.values() for touch in spec.touches]
    assert {step for step, touch in touched if touch.region == "us-west-2" and not touch.tried} == set()
    elsewhere = [(step, touch) for step, touch in touched if touch.region not in ("us-west-2", "eu-west-1")]
    assert {step for step, touch in elsewhere if touch.plane == "control" and not touch.instead} == set()
    asked = {step for step, touch in touched if touch.service == "database"}
    assert asked == {f"asked-db/{name}" for name in ("prepare", "promote", "verify-inside")}


def test_regions_and_words_of_what_is_read(everything: Path, tmp_path: Path) -> None:
    """Certificates: files where they lie and the list of names; a soak: all that its checks ask; a failover nothing of the lost region."""
    found = dict(specs(everything, tmp_path / "state"))

    def touched(where: str) -> set[tuple[str, str]]:
        return {(touch.service, touch.region) for touch in found[where].touches}

    assert touched("failover to west: certificates/prepare") == {("certificate files", "west"), ("database", "west")}
    assert touched("reprotect to west: certificates/prepare") == {("certificate files", "east"), ("database", "west")}
    assert touched("failover to west: smoke/check") == {("http", "west"), ("dns", "west")}
    assert touched("failover to west: held/check") == {("http", "west"), ("dns", "west"), ("prometheus", "west")}
    allowed = " ".join(found["failover to west: held/check"].permissions)
    assert "GET from quiet-comet-001.api.dr.test:18443" in allowed and "192.0.2.1:53" in allowed and "header Authorization" in allowed
    ours = [spec for where, spec in found.items() if where.startswith("failover to west") and spec.component in ("certificates", "smoke")]
    assert {touch.region for spec in ours for touch in spec.touches} == {"west"}
