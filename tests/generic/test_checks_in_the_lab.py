"""The checks against real servers: PostgreSQL, Knot and the runtimes of the lab, each shown holding and not holding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dr.engine.attempt import Attempted, attempt
from dr.errors import UsageError
from dr.lab.lab import Lab
from dr.lab.layout import DNS_PORT, PUBLIC_PORT, deployments
from dr.model.words import Intent, Outcome, Severity
from dr.ports import Clock, Kind, Site
from dr.providers.airflow import AirflowDeployments
from dr.providers.generic.checks.dns_check import DnsCheck, DnsCheckConfig
from dr.providers.generic.checks.http_check import HttpCheck, HttpCheckConfig
from dr.providers.generic.checks.sql_check import SqlCheck, SqlCheckConfig
from dr.providers.selfhosted.certificates import TlsCertificates
from dr.providers.selfhosted.certificates import kind as certificates
from dr.providers.selfhosted.certificates.config import CertificatesConfig
from dr.providers.selfhosted.postgres import Postgres
from dr.providers.selfhosted.postgres.config import PostgresConfig
from tests.airflow import world as airflow
from tests.generic.served import context, step_of

pytestmark = pytest.mark.lab

NAMES = [name for item in deployments(5) for name in item.hostnames]
API = deployments(1)[0].hostname_api


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server here is silent: a view waits for as long as healthy ones take on a busy machine."""
    airflow.be_patient(monkeypatch)
    monkeypatch.setattr(certificates, "VIEW_SECONDS", 30.0)
    monkeypatch.setattr(certificates, "_LIST_SECONDS", 20.0)


@pytest.fixture
def site(lab: Lab, clock: Clock, tmp_path: Path) -> Iterator[Site]:
    """The lab's site with the real kind postgres as ``metadata-db``."""
    plain = airflow.site(lab.layout, clock, tmp_path / "artefacts")
    servers = {
        region.name: {"address": region.address, "port": 15432, "follows": {"address": region.link, "port": 15432}}
        for region in lab.layout.regions
    }
    settings = {
        "database": "platform", "user": "dr", "password": {"file": str(lab.layout.secret("postgres"))}, "regions": servers,
        "connect_timeout": "10s", "answer_timeout": "10s",
    }  # fmt: skip
    peers: dict[str, Kind] = dict(plain.peers)
    whole = replace(plain, peers=peers)
    database = Postgres("metadata-db", PostgresConfig.model_validate(settings), [], whole)
    peers["metadata-db"] = database
    yield whole
    database.close()


def once(kind: Kind, source: str = "east", target: str = "west") -> Attempted:
    step = step_of(kind)
    return attempt(step.operation, replace(context(step), source=source, target=target))


def sql(site: Site, query: str, **settings: object) -> SqlCheck:
    given = {"database": "metadata-db", "query": query, "timeout": "20s", **settings}
    return SqlCheck("rows", SqlCheckConfig.model_validate(given), ["metadata-db"], site)


@pytest.mark.parametrize(
    ("query", "settings", "why"),
    [
        ("SELECT count(*) FROM deployment", {"value": 5}, ""),
        ("SELECT count(*) FROM deployment", {"value": ">= 6"}, "5, expected >= 6"),
        ("TABLE deployment", {"rows": "== 5"}, ""),
        ("TABLE deployment", {"rows": "< 5"}, "5 rows, expected < 5"),
        ("SELECT name FROM deployment WHERE id = 'd-001'", {"value": "deployment-001"}, ""),
        ("SELECT name FROM deployment WHERE id = 'none'", {"value": "deployment-001"}, "0 rows, expected one"),
        ("SELECT id FROM deployment", {"value": "d-001"}, "5 rows, expected one"),
        ("SELECT pg_is_in_recovery()", {"value": True}, ""),
        ("SELECT NULL", {"value": "!= 1"}, "None, expected != 1"),
        ("SELECT 1 / 3.0 WHERE 'a' LIKE '%a'", {"value": "< 0.34"}, ""),
        ("WITH n AS (SELECT 1 AS one) SELECT one FROM n", {"value": 1}, ""),
        ("SELECT count(*) FROM dag", {"catalog": "airflow_001", "value": "> 0"}, ""),
        ("SELECT pg_sleep(30)", {"value": 1, "timeout": "200ms"}, "statement timeout"),
    ],
)
def test_a_query_is_held_against_what_is_expected(site: Site, query: str, settings: dict[str, object], why: str) -> None:
    """In the target, which is a standby here; what does not hold says what was found, and is tried again."""
    result = once(sql(site, query, **settings))
    assert result.outcome is (Outcome.RETRY if why else Outcome.DONE), result.reason
    assert why in result.reason


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO deployment SELECT * FROM deployment", "DELETE FROM deployment", "SELECT 1; DELETE FROM deployment",
        "SELECT 1; COMMIT; DELETE FROM deployment", "WITH gone AS (DELETE FROM deployment RETURNING id) SELECT count(*) FROM gone",
        "SELECT * FROM deployment FOR UPDATE", "SELECT lo_creat(-1)", "COMMIT",
        "SELECT lo_create(0)", "COPY deployment TO STDOUT", "SELECT nothing FROM nowhere", "SELECT 1;DROP TABLE deployment",
    ],
)  # fmt: skip
def test_what_writes_is_refused(site: Site, query: str) -> None:
    """On the primary, where it could: nothing is changed, nothing is tried again."""
    result = once(sql(site, query, value=1), source="west", target="east")
    assert result.outcome is Outcome.FAILED, result.reason
    assert once(sql(site, "SELECT count(*) FROM deployment", value=5), source="west", target="east").outcome is Outcome.DONE


def test_more_rows_than_anybody_should_fetch(site: Site) -> None:
    """Counting is the database's work."""
    assert once(sql(site, "SELECT generate_series(1, 10000)", rows="== 10000")).outcome is Outcome.DONE
    many = once(sql(site, "SELECT generate_series(1, 100000000)", rows="> 5"))
    assert many.outcome is Outcome.FAILED
    assert "count" in many.reason


def test_a_database_that_is_not_there(site: Site) -> None:
    """A wrong component is the runbook's fault; a wrong database is said as the server says it."""
    assert "no component with databases" in once(SqlCheck("rows", _settings("dns"), ["dns"], site)).reason
    with pytest.raises(UsageError, match="needs"):
        SqlCheck("rows", _settings("metadata-db"), [], site)
    assert once(sql(site, "SELECT 1", value=1, catalog="nowhere")).outcome is Outcome.FAILED


def _settings(database: str) -> SqlCheckConfig:
    return SqlCheckConfig.model_validate({"database": database, "query": "SELECT 1", "value": 1})


def test_names_of_the_lab(site: Site, lab: Lab) -> None:
    """Both authoritative servers lead every name to east: good for a move there, not yet for one to west."""
    addresses = {region.name: [region.address] for region in lab.layout.regions}
    resolvers = [f"{region.address}:{DNS_PORT}" for region in lab.layout.regions]
    settings = {"names": NAMES, "resolvers": resolvers, "addresses": addresses, "maximum_ttl": "60s"}
    kind = DnsCheck("names", DnsCheckConfig.model_validate(settings), [], site)
    assert once(kind, "west", "east").outcome is Outcome.DONE
    result = once(kind)
    assert result.outcome is Outcome.RETRY
    assert "expected 127.0.20.1" in result.reason


def test_the_runtimes_from_inside_and_outside(site: Site, lab: Lab) -> None:
    """West answers by address before any name leads there; through the name it is east that answers."""
    settings = {"urls": [f"https://{API}:{PUBLIC_PORT}/api/v2/monitor/health"], "certificate_authority": str(lab.layout.authority)}
    inside = {"route": "inside", "addresses": {region.name: region.address for region in lab.layout.regions}}
    seen = {}
    for name, more in (("inside", inside), ("outside", {})):
        for region in ("east", "west"):
            config = HttpCheckConfig.model_validate({**settings, **more, "equals": {"/region": region}})
            seen[name, region] = once(HttpCheck("smoke", config, [], site)).outcome
    good, bad = Outcome.DONE, Outcome.RETRY
    assert seen == {("inside", "east"): bad, ("inside", "west"): good, ("outside", "east"): good, ("outside", "west"): bad}


@pytest.mark.parametrize("source", ["directory", "served"])
def test_certificates_of_all_deployments(site: Site, lab: Lab, source: str) -> None:
    """The names come from the platform's own list; files and endpoints agree; a missing file refuses a move to that region."""
    peers = dict(site.peers)
    whole = replace(site, peers=peers)
    peers["deployments"] = AirflowDeployments("deployments", airflow.config(lab.layout), ["metadata-db"], whole)
    regions: dict[str, object] = {region.name: {"directory": str(region.tls)} for region in lab.layout.regions}
    if source == "served":
        regions = {region.name: {"address": region.address, "port": PUBLIC_PORT} for region in lab.layout.regions}
    settings = {"certificate_authority": str(lab.layout.authority), "deployments": "deployments", "regions": regions}
    kind = TlsCertificates("certificates", CertificatesConfig.model_validate(settings), [], whole)
    assert sorted(kind.hostnames("west")) == sorted(NAMES)
    assert kind.view().findings == ()
    assert once(kind).outcome is Outcome.DONE
    if source == "directory":
        path = lab.layout.region("west").tls / f"{API}.pem"
        kept = path.read_bytes()
        path.unlink()
        try:
            [finding] = kind.view().findings
        finally:
            path.write_bytes(kept)
            path.chmod(0o600)
        assert (finding.severity, finding.region) == (Severity.ERROR, "west") and API in finding.fact
    for step in kind.steps(Intent.REPROTECT, "west", "east"):
        assert step.spec.region == "west"
    peers["deployments"].close()
