"""What RDS has: Aurora global databases, instances with a read replica in the other region, and those without either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dr.providers.aws.aurora.calls import CLUSTERS, GLOBAL, INSTANCES
from dr.providers.aws.config import region_of
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.found import Found, Gap, last, plain_name

Item = Mapping[str, Any]
Sides = Mapping[str, list[Item]]

_AURORA, _REPLICA = "aws.aurora-global-database", "aws.rds-read-replica"


def look(ask: Ask) -> Iterator[Found]:
    """Global databases first: they lead. Five listings and their pages."""
    clusters = dict(zip(ask.codes, ask.both(CLUSTERS, "DBClusters"), strict=True))
    instances = dict(zip(ask.codes, ask.both(INSTANCES, "DBInstances"), strict=True))
    wholes = ask.pages(ask.primary, GLOBAL, "GlobalClusters")
    seen: set[str] = set()
    for whole in wholes:
        if not str(whole.get("Engine", "aurora")).startswith("aurora"):
            continue  # its clusters are told below
        members = {region_of(item["DBClusterArn"]): item for item in whole["GlobalClusterMembers"]}
        seen |= {item["DBClusterArn"] for item in members.values()}
        own = members.get(ask.primary.code)
        if own is not None and ask.picks(own["DBClusterArn"], whole["GlobalClusterArn"]):
            yield _whole(ask, whole, members, clusters, instances)
    for item in clusters[ask.primary.code]:
        if item["DBClusterArn"] not in seen and ask.picks(item["DBClusterArn"]):
            yield _alone(ask, item)
    yield from _instances(ask, instances)


def _whole(ask: Ask, whole: Item, members: Mapping[str, Item], clusters: Sides, instances: Sides) -> Found:
    name, (here, there) = whole["GlobalClusterIdentifier"], ask.codes
    mysql = {"engine": whole["Engine"]} if "mysql" in str(whole.get("Engine", "")) else {}
    sides = {code: {"cluster": last(members[code]["DBClusterArn"]), **mysql} for code in ask.codes if code in members}
    comments, gaps = [], []
    if there not in members:
        engine = whole.get("Engine", "aurora-postgresql")
        fix = f"aws rds create-db-cluster --region {there} --global-cluster-identifier {name} --engine {engine}"
        gaps.append(Gap(f"global database {name}", f"it has no cluster in {there}", f"{fix} --db-cluster-identifier {name}-{there}"))
        sides[there] = {"cluster": f"{name}-{there}", **mysql}
    elif not _of(instances[there], sides[there]["cluster"]):
        classes = [item["DBInstanceClass"] for item in _of(instances[here], sides[here]["cluster"])]
        sides[there] |= {"instance_class": classes[0]} if classes else {}
        comments.append(f"{sides[there]['cluster']} has no instance: a move creates one first, and that takes minutes of the RTO")
    writers = [code for code, item in members.items() if item.get("IsWriter")]
    if writers and writers != [here]:
        comments.append(f"it writes in {writers[0]} now")
    settings = {"global_cluster": name, "regions": sides}
    after = () if mysql else tuple(_sql(sides, clusters))
    return Found(plain_name(name, here, there), _AURORA, settings, tuple(comments), after, tuple(gaps), active=not gaps)


def _sql(sides: Mapping[str, Item], clusters: Sides) -> Iterator[str]:
    """What a person only has to give a user to."""
    known = {code: item for code, side in sides.items() for item in clusters[code] if item["DBClusterIdentifier"] == side["cluster"]}
    yield from ("sql:", "  database: airflow", "  user: dr", "  password: {file: secrets/aurora-dr}")
    for word, key, what in (("endpoints", "Endpoint", "writer"), ("reader_endpoints", "ReaderEndpoint", "reader")):
        yield f"  {word}:" + ("" if what == "writer" else "   # the writer endpoint of a secondary is inactive until it is promoted")
        for code in sides:
            yield f"    {code}: {known.get(code, {}).get(key) or f'the {what} endpoint of the cluster there'}"


def _of(instances: list[Item], cluster: str) -> list[Item]:
    return [item for item in instances if item.get("DBClusterIdentifier") == cluster]


def _alone(ask: Ask, item: Item) -> Found:
    """A cluster that no global database has: Aurora's can become one, others (Multi-AZ clusters) have no kind here."""
    name, (here, there) = item["DBClusterIdentifier"], ask.codes
    source = f"--source-db-cluster-identifier {item['DBClusterArn']}"
    fix = f"aws rds create-global-cluster --region {here} --global-cluster-identifier {name} {source}"
    why = f"it is in no global database, so nothing of it is in {there}"
    if not str(item.get("Engine", "")).startswith("aurora"):
        why, fix = f"dr has no kind for clusters of the engine {item.get('Engine')}", "a command component that moves it"
    gap = Gap(f"database cluster {name}", why, fix)
    settings = {"global_cluster": name, "regions": {here: {"cluster": name}, there: {"cluster": f"{name}-{there}"}}}
    return Found(plain_name(name, here, there), _AURORA, settings, gaps=(gap,), active=False)


def _instances(ask: Ask, instances: Sides) -> Iterator[Found]:
    """Instances outside of clusters, by who replicates whom."""
    here, there = ask.codes
    mine = {item["DBInstanceArn"]: item for item in instances[here] if not item.get("DBClusterIdentifier")}
    others = {item["DBInstanceArn"]: item for item in instances[there] if not item.get("DBClusterIdentifier")}
    follows = {arn: str(item.get("ReadReplicaSourceDBInstanceIdentifier", "")) for arn, item in (mine | others).items()}
    for arn, item in mine.items():
        if not ask.picks(arn):
            continue
        name = item["DBInstanceIdentifier"]
        partner = next((other for other in others if arn == follows[other] or other == follows[arn]), None)
        if partner is None and follows[arn]:
            continue  # a reader of another one here, which is looked at itself
        word = plain_name(name, here, there)
        if partner is not None:
            comments = (f"it writes in {there} now",) if follows[arn] == partner else ()
            settings = {"regions": {here: {"instance": name}, there: {"instance": others[partner]["DBInstanceIdentifier"]}}}
            yield Found(word, _REPLICA, settings, comments)
            continue
        fix = (f"aws rds create-db-instance-read-replica --region {there} --source-region {here} --db-instance-identifier {name}-{there} "
               f"--source-db-instance-identifier {arn}")  # fmt: skip
        gap = Gap(f"database instance {name}", f"it has no read replica in {there}", fix)
        settings = {"regions": {here: {"instance": name}, there: {"instance": f"{name}-{there}"}}}
        yield Found(word, _REPLICA, settings, gaps=(gap,), active=False)
