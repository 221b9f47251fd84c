"""Readiness: what would keep a move from working, or make it slow. Pure decisions over what ``facts`` read.

An ``error`` is only what would break a move towards the region or make it wrong; a dead primary is no finding: that is why people move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from dr.model.base import show_duration
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.selfhosted.postgres.config import PostgresConfig
from dr.providers.selfhosted.postgres.facts import Posture, Reading

_AT_LEAST_PRIMARYS = (
    "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction",
)  # fmt: skip
_FIVE_SECONDS = 5000
_CLOCKS_DIFFER = timedelta(seconds=5)
"""More than the two questions, which are asked at once, can lie apart."""
_PLACED = ("port", "listen_addresses", "primary_conninfo")


def manager(posture: Posture) -> tuple[str, str] | None:
    """Who else decides about promotions of this server, and how to ask it; None where nobody was seen.

    Two deciders promote two servers: such a cluster must be moved with its own switch.
    """
    signs: list[tuple[bool, str, str]] = [
        (_patroni(posture), "Patroni", "patronictl switchover (or failover); call it from a component of kind command"),
        (_cloud_native_pg(posture), "CloudNativePG", "kubectl cnpg promote, or spec.replica of the Cluster resource"),
        (_preloads(posture, "repmgr"), "repmgr", "repmgr standby switchover (or promote)"),
        (_preloads(posture, "pgautofailover"), "pg_auto_failover", "pg_autoctl perform switchover"),
        (any(name.startswith("stolon_") for name in posture.slots), "Stolon", "stolonctl failkeeper"),
        (any("." in name for name in posture.settings), "a cloud provider", "the provider's own failover, in a component of kind command"),
    ]
    return next(((who, how) for seen, who, how in signs if seen), None)


def _patroni(posture: Posture) -> bool:
    if any(name.startswith("Patroni") for name in posture.applications):
        return True
    # it passes these on the server's command line, so that nobody can change them in a file
    forced = [posture.settings.get(name) for name in ("cluster_name", "max_connections", "wal_log_hints", "hot_standby")]
    known = [setting for setting in forced if setting is not None]
    return bool(known) and all(setting.source == "command line" for setting in known) and bool(posture.value("cluster_name"))


def _cloud_native_pg(posture: Posture) -> bool:
    commands = posture.value("archive_command") + posture.value("restore_command")
    own_place = "/controller/" in posture.value("unix_socket_directories")
    return "/controller/manager" in commands or own_place or any(name.startswith("_cnpg_") for name in posture.slots)


def _preloads(posture: Posture, library: str) -> bool:
    return library in [name.strip() for name in posture.value("shared_preload_libraries").split(",")]


def sync_blocks_writes(names: str, attached: tuple[str, ...]) -> bool:
    """Whether ``synchronous_standby_names`` would make every commit wait, given the standbys that are attached now."""
    text = names.strip()
    if not text:
        return False
    words = text.replace("(", " ( ").replace(")", " ").replace(",", " ").split()
    wanted = 1
    if "(" in words:
        head, words = words[: words.index("(")], words[words.index("(") + 1 :]
        wanted = next((int(word) for word in head if word.isdigit()), 1)
    listed = {word.strip('"').lower() for word in words}
    present = [name for name in attached if "*" in listed or name.lower() in listed]
    return len(present) < wanted


def judge(component: str, config: PostgresConfig, readings: Mapping[str, Reading], postures: Mapping[str, Posture]) -> tuple[Finding, ...]:
    """All findings, worst first."""
    found = [
        Finding(component=component, severity=severity, fact=f"{component} in {region}: {fact}", fix=fix)
        for region, severity, fact, fix in _all(config, readings, postures)
    ]
    order = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


_Found = tuple[str, Severity, str, str]


def _all(config: PostgresConfig, readings: Mapping[str, Reading], postures: Mapping[str, Posture]) -> Iterator[_Found]:
    for region, posture in postures.items():
        yield from _own(config, region, readings[region], posture)
    primary = next((region for region, reading in readings.items() if not reading.recovering), None)
    secondary = next((region for region, reading in readings.items() if reading.recovering), None)
    if primary is None or secondary is None or primary not in postures or secondary not in postures:
        if len([reading for reading in readings.values() if not reading.recovering]) > 1:
            yield next(iter(readings)), Severity.ERROR, "both regions take writes", "fence one of them; dr reprotect keeps what only it has"
        return
    yield from _clocks(primary, secondary, readings)
    yield from _pair(config, primary, secondary, readings, postures)


def _clocks(primary: str, secondary: str, readings: Mapping[str, Reading]) -> Iterator[_Found]:
    """The primary's clock stamps the commits by which a loss is measured. What it was ahead when it was asked last is taken off; once its
    region is gone, nobody can ask it any more."""
    ours, theirs = readings[primary].clock, readings[secondary].clock
    if ours is None or theirs is None or abs(ours - theirs) < _CLOCKS_DIFFER:
        return
    fix = "have both servers' clocks set by NTP"
    if ours > theirs:
        fact = f"its clock is {show_duration(ours - theirs)} ahead of that in {secondary}: what it stamps looks newer by so much"
        yield primary, Severity.WARNING, fact, fix
    else:
        fact = f"its clock is {show_duration(theirs - ours)} ahead of that in {primary}: what a failover loses looks larger by so much"
        yield secondary, Severity.WARNING, fact, fix


def _own(config: PostgresConfig, region: str, reading: Reading, posture: Posture) -> Iterator[_Found]:
    managed = manager(posture)
    if managed is not None:
        yield region, Severity.ERROR, f"managed by {managed[0]}, which promotes by itself", f"use {managed[1]}"
    if reading.recovering and not posture.rights.promote:
        fix = f"in database {config.database}: GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO {config.user}"
        yield region, Severity.ERROR, f"{config.user} may not promote", fix
    for allowed, what, fix in (
        (posture.rights.monitor, "see replication", f"GRANT pg_monitor TO {config.user}"),
        (posture.rights.checkpoint, "run CHECKPOINT, so a planned stop may be slow", f"GRANT pg_checkpoint TO {config.user}"),
        (posture.rights.replication, "create replication slots", f"ALTER ROLE {config.user} REPLICATION"),
        (
            posture.rights.rewind, "read files as pg_rewind does: re-protect would need a whole new copy",
            f"in database {config.database}: GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean),"
            f" pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO {config.user}",
        ),
    ):  # fmt: skip
        if not allowed:
            yield region, Severity.WARNING, f"{config.user} may not {what}", fix
    if posture.value("wal_log_hints") == "off" and posture.value("data_checksums") == "off":
        yield (
            region, Severity.WARNING, "neither wal_log_hints nor checksums: pg_rewind is impossible, re-protect copies everything",
            "wal_log_hints = on and a restart",
        )  # fmt: skip
    if posture.number("wal_retrieve_retry_interval") == _FIVE_SECONDS:
        yield (
            region, Severity.WARNING, "wal_retrieve_retry_interval is 5 s: an immediate promotion may stall that long",
            "wal_retrieve_retry_interval = 100ms and a reload",
        )  # fmt: skip
    home = posture.value("data_directory").rstrip("/")
    inside = [name for name in _PLACED if home and name in posture.settings and posture.settings[name].file.startswith(home + "/")]
    if inside:
        yield (
            region, Severity.WARNING, f"{', '.join(inside)} set inside the data directory: pg_rewind replaces it with the other region's",
            "include a file that lies outside the data directory",
        )  # fmt: skip
    if posture.stale_collations:
        names = ", ".join(posture.stale_collations)
        yield (
            region, Severity.WARNING, f"collation versions of {names} differ from this machine's: indexes on text may be wrong",
            "the same locale libraries in both regions; else REINDEX and ALTER DATABASE … REFRESH COLLATION VERSION",
        )  # fmt: skip


def _pair(
    config: PostgresConfig, primary: str, secondary: str, readings: Mapping[str, Reading], postures: Mapping[str, Posture]
) -> Iterator[_Found]:
    ours, theirs = postures[primary], postures[secondary]
    if readings[primary].system != readings[secondary].system:
        yield secondary, Severity.ERROR, f"another database than the one in {primary}: it is no copy of it", "make a base backup"
        return
    versions = [(posture.number("server_version_num") or 0) // 10000 for posture in (ours, theirs)]
    if versions[0] != versions[1]:
        yield secondary, Severity.ERROR, f"PostgreSQL {versions[1]}, and {versions[0]} in {primary}", "one major version in both regions"
    for name in _AT_LEAST_PRIMARYS:
        needed, there = ours.number(name), theirs.number(name)
        if needed is not None and there is not None and there < needed:
            fact = f"{name} is {there}, less than {needed} in {primary}: replay stops"
            yield secondary, Severity.ERROR, fact, f"{name} = {needed} and a restart"
    if readings[secondary].receiver != "streaming":
        yield secondary, Severity.WARNING, f"does not stream from {primary}", "look at its log and at primary_conninfo"
    yield from _slot(primary, secondary, theirs.value("primary_slot_name") or config.slot(secondary), ours)
    if ours.value("synchronous_standby_names"):
        yield (
            primary, Severity.WARNING, "synchronous_standby_names is set: commits wait where the other region is lost",
            "known and wanted: nothing to do; a promotion here clears what nobody can fulfil",
        )  # fmt: skip
    delay = theirs.number("recovery_min_apply_delay")
    if delay:
        yield secondary, Severity.WARNING, f"recovery_min_apply_delay is {delay} ms: a planned move waits that long", "set it to 0"


def _slot(primary: str, secondary: str, name: str, ours: Posture) -> Iterator[_Found]:
    slot = ours.slots.get(name)
    if slot is None:
        create = f"SELECT pg_create_physical_replication_slot('{name}')"
        yield primary, Severity.WARNING, f"no slot {name} for {secondary}: a long break of the link needs a new copy", create
    elif slot.wal_status == "lost":
        yield primary, Severity.WARNING, f"slot {name} lost its log: {secondary} cannot catch up", f"a new base backup in {secondary}"
    elif not slot.active:
        yield primary, Severity.WARNING, f"slot {name} is not in use: {secondary} does not follow through it", "primary_slot_name there"
    if not (ours.number("max_slot_wal_keep_size") or 0) > 0:
        yield (
            primary, Severity.INFO, "max_slot_wal_keep_size is not set: a region that is away long fills this one's disk",
            "max_slot_wal_keep_size below the free space",
        )  # fmt: skip
