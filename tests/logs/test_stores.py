"""The step chains against two real stores that replicate into each other."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dr.errors import Permanent, StepError
from dr.model.evidence import Accounted, Fenced, Following, Preserved, Promoted, RecoveryPoint, WriteAccepted
from dr.model.words import FenceState, Intent, Known, Role, Severity, Verb
from dr.ports import Look
from dr.providers.selfhosted.s3 import S3Bucket, control, inventory
from dr.providers.selfhosted.s3.wire import Denied, NotServed, Taken
from tests.logs.rig import ACCESS, SECRET, Bucket, Pair, step_of
from tests.postgres.rig import poll

pytestmark = pytest.mark.lab
TO_WEST = (Intent.FAILOVER, "east", "west")
PLANNED = (Intent.SWITCHOVER, "east", "west")
BACK = (Intent.REPROTECT, "east", "west")
LOGS = [f"quiet-comet-001/dag_id=d/run_id=r{number}/task_id=t/attempt=1.log" for number in range(12)]


def arrive(bucket: Bucket, region: str, *keys: str) -> None:
    poll(lambda: set(keys) <= bucket.keys(region), f"{len(keys)} objects to arrive in {region}")


def accounts(bucket: Bucket) -> dict[str, Accounted]:
    return {item.region: item for item in bucket.found(Accounted) if isinstance(item, Accounted)}


def another_second(bucket: Bucket, region: str) -> None:
    """Stores tell whole seconds: until what is written next is younger than what was written before."""
    store = bucket.store(region)

    def now() -> datetime:
        store.put(".dr/check/clock", b"")
        seen = store.head(".dr/check/clock")
        assert seen is not None
        return seen.modified

    before = now()
    poll(lambda: now() > before, "another second")


def test_a_packed_object_is_copied_packed(bucket: Bucket) -> None:
    """A log with ``content-encoding: gzip`` keeps its bytes: unpacked on the way it could not be read any more. Nor need they be gzip."""
    for key, content in {LOGS[0]: gzip.compress(b"one line\n" * 50), LOGS[1]: b"this was never packed"}.items():
        east, west = bucket.store("east"), bucket.store("west")
        east.put(key, content, {"content-encoding": "gzip", "content-type": "text/plain"})
        found = east.get(key)
        assert found is not None
        assert found.content == content
        west.put(f"{key}.copy", found.content, found.headers)
        copied = west.get(f"{key}.copy")
        assert copied is not None
        assert (copied.content, copied.headers["content-encoding"]) == (content, "gzip")


def lose_east(bucket: Bucket, stores: Pair) -> None:
    """The replication stands still, four objects are shipped to east, east dies."""
    bucket.put("east", *LOGS[:8])
    arrive(bucket, "west", *LOGS[:8])
    stores.kill("sync")
    bucket.put("east", *LOGS[8:])
    stores.kill("east")


def test_roles_are_what_the_newest_marker_says(bucket: Bucket) -> None:
    """Observed, never configured: no home, no order of regions; nothing is wrong with a healthy pair."""
    kind = bucket.kind()
    beat = kind.beat("east")
    assert beat is not None
    assert beat.acknowledged_at is not None
    poll(lambda: kind.sample("east").state is Known.KNOWN, "the heartbeat to arrive")
    view = kind.view()
    assert (view.primary, view.regions["east"].role, view.regions["west"].role) == ("east", Role.PRIMARY, Role.SECONDARY)
    assert [finding for finding in view.findings if finding.severity is not Severity.INFO] == []
    assert view.lag is not None
    assert view.lag.recovery_point == beat.sent_at


def test_an_unmarked_bucket_says_how_to_mark_it(bucket: Bucket) -> None:
    """Nobody guesses who is primary: an error with the command that says it."""
    for region in ("east", "west"):
        bucket.store(region).delete(control.Keys(".dr/").marker(1, "east"))
    view = bucket.kind().view()
    assert {seen.role for seen in view.regions.values()} == {Role.UNKNOWN}
    assert any(item.severity is Severity.ERROR and "curl" in item.fix for item in view.findings)


def test_a_missing_bucket_and_a_wrong_key_are_findings(bucket: Bucket) -> None:
    """Each is an error of its region, found before anything is touched; no secret in it."""
    settings = bucket.settings()
    regions = settings["regions"]
    assert isinstance(regions, dict)
    regions["west"]["bucket"] = "never-made"
    regions["east"]["secret_key"] = {"env": "WRONG"}
    view = bucket.kind(regions=regions).view()
    said = {item.region: item.fact for item in view.findings if item.severity is Severity.ERROR and item.region}
    assert "NoSuchBucket" in said["west"]
    assert "403" in said["east"]
    assert "another-secret" not in view.model_dump_json()


def test_lag_is_the_age_of_what_arrived_and_of_what_did_not(bucket: Bucket, stores: Pair) -> None:
    """A stalled replication: heartbeats stop to arrive, the lag grows; objects that are missing are counted."""
    kind = bucket.kind()
    kind.beat("east")
    poll(lambda: kind.sample("east").state is Known.KNOWN, "the heartbeat to arrive")
    before = kind.sample("east").recovery_point
    stores.send("sync", signal.SIGSTOP)
    bucket.put("east", *LOGS[:3])
    kind.beat("east")
    poll(lambda: kind.sample("east").behind_items == 3, "the missing objects to be counted")
    stalled = kind.sample("east")
    assert stalled.recovery_point is not None and before is not None
    assert stalled.recovery_point <= before
    assert stalled.lag is not None
    assert stalled.behind_bytes == 3 * len(b"one line\n")

    def said() -> bool:
        kind.beat("east")
        return any("does not run" in item.fact for item in kind.view().findings)

    poll(said, "the finding")
    stores.send("sync", signal.SIGCONT)
    poll(lambda: kind.sample("east").behind_items == 0, "all to arrive")
    kind.close()


def test_objects_that_never_arrive_hold_the_recovery_point_back(bucket: Bucket, stores: Pair) -> None:
    """Heartbeats arrive again, three objects never will: the recovery point is not younger than they are, also in a new process."""
    bucket.put("east", *LOGS)
    arrive(bucket, "west", *LOGS)
    stores.send("sync", signal.SIGSTOP)
    west = bucket.store("west")
    for key in LOGS[:3]:
        west.delete(key)
    kind = bucket.kind()
    poll(lambda: kind.sample("east").behind_items == 3, "the missing objects to be counted")
    kind.beat("east")
    bucket.store("west").put(control.Keys(".dr/").heartbeat("east"), control.heartbeat_body("logs", "east", bucket.clock.now()))
    sample = kind.sample("east")
    oldest = min(item.modified for key in LOGS[:3] if (item := bucket.store("east").head(key)) is not None)
    assert sample.recovery_point is not None
    assert sample.recovery_point <= oldest
    bucket.samples.newest["logs"] = sample
    other = bucket.kind().view().lag
    assert other is not None
    assert other.recovery_point == sample.recovery_point
    kind.close()


def test_objects_that_were_overtaken_have_failed(bucket: Bucket, stores: Pair) -> None:
    """Two never come while heartbeats go on arriving: pending at first, then failed and named; a look of another process says so, too."""
    bucket.put("east", *LOGS)
    arrive(bucket, "west", *LOGS)
    stores.send("sync", signal.SIGSTOP)
    for key in LOGS[:2]:
        bucket.store("west").delete(key)
    patient, kind = bucket.kind(), bucket.kind(failed_after=timedelta(seconds=2))
    poll(lambda: patient.sample("east").behind_items == 2, "the missing objects to be counted")
    assert patient.sample("east").failed_items == 0

    def failed() -> bool:
        bucket.store("west").put(control.Keys(".dr/").heartbeat("east"), control.heartbeat_body("logs", "east", bucket.clock.now()))
        return kind.sample("east").failed_items == 2

    poll(failed, "the overtaken objects to count as failed")
    sample = kind.sample("east")
    assert (sample.behind_items, sample.behind_bytes, set(sample.failed_named)) == (0, 0, set(LOGS[:2]))
    bucket.samples.newest["logs"] = sample
    view = bucket.kind().view()
    assert view.lag is not None
    assert view.lag.failed_items == 2
    assert [item.severity for item in view.findings if "2 objects failed to replicate" in item.fact] == [Severity.WARNING]
    bucket.samples.newest["logs"] = sample.model_copy(update={"failed_items": 0, "failed_named": ()})
    none = bucket.kind().view().lag
    assert none is not None and (none.behind_items, none.failed_items) == (0, 0)
    bucket.samples.newest["logs"] = sample.model_copy(update={"at": sample.at - timedelta(minutes=1)})
    stale = bucket.kind().view().lag
    assert stale is not None and (stale.behind_items, stale.failed_items) == (None, None)
    patient.close()
    kind.close()


def test_a_dead_region_costs_little_and_is_unknown(bucket: Bucket, stores: Pair, patience: pytest.MonkeyPatch) -> None:
    """Killed: stopped. Held: unreachable, within the bound. The secondary still says its recovery point, as a bound."""
    kind = bucket.kind(source_timeout=timedelta(seconds=1))
    kind.beat("east")
    poll(lambda: kind.sample("east").recovery_point is not None, "the heartbeat to arrive")
    patience.undo()  # what a silent store may cost is the product's to say
    stores.send("east", signal.SIGSTOP)
    held = kind.view()
    assert held.regions["east"].role is Role.UNREACHABLE
    assert held.regions["west"].role is Role.SECONDARY
    assert "no answer" in held.regions["east"].reason
    beat = kind.beat("east")
    assert beat is not None
    assert beat.acknowledged_at is None
    stores.send("east", signal.SIGCONT)
    stores.kill("east")
    dead = kind.view()
    assert dead.regions["east"].role is Role.STOPPED
    assert dead.lag is not None
    assert dead.lag.state is Known.BOUND
    assert dead.lag.recovery_point is not None
    stores.kill("west")
    sample = kind.sample("east")
    assert (sample.state, sample.lag) == (Known.UNKNOWN, None)


def test_a_failover_needs_nothing_of_the_dead_region(bucket: Bucket, stores: Pair) -> None:
    """East is gone: west is checked, marked, written to; its recovery point is the newest heartbeat of east that it holds."""
    kind = bucket.kind()
    beat = kind.beat("east")
    assert beat is not None
    poll(lambda: kind.sample("east").recovery_point == beat.sent_at, "the heartbeat to arrive")
    lose_east(bucket, stores)
    bucket.perform_all(kind, *TO_WEST)
    fenced, point, promoted = (bucket.found(sort)[-1] for sort in (Fenced, RecoveryPoint, Promoted))
    assert isinstance(fenced, Fenced) and fenced.state is FenceState.NOT_NEEDED
    assert isinstance(point, RecoveryPoint) and (point.recovery_point, point.complete) == (beat.sent_at, False)
    assert isinstance(promoted, Promoted) and promoted.region == "west" and promoted.epoch is not None and promoted.epoch > 1
    assert bucket.found(WriteAccepted)
    view = kind.view()
    assert (view.primary, view.regions["east"].role) == ("west", Role.STOPPED)


def test_what_is_lost_is_named_from_the_inventory_kept_outside(bucket: Bucket, stores: Pair) -> None:
    """The monitor listed east before it died: the four objects that never arrived are counted and named; the account is incomplete."""
    kind = bucket.kind()
    bucket.put("east", *LOGS[:8])
    arrive(bucket, "west", *LOGS[:8])
    stores.send("sync", signal.SIGSTOP)
    bucket.put("east", *LOGS[8:])
    kind.beat("east")
    poll(lambda: kind.sample("east").behind_items == 4, "east to be listed")
    stores.kill("east")
    bucket.perform_all(kind, *TO_WEST)
    found = accounts(bucket)["west"]
    assert (found.checked, found.equal, found.missing_total, found.complete) == (12, 8, 4, False)
    assert set(found.missing) == set(LOGS[8:])
    assert found.items_path is not None
    rows = [json.loads(line) for line in Path(found.items_path).read_text().splitlines()]
    assert {row["key"] for row in rows} == set(LOGS[8:])
    assert Path(found.items_path).stat().st_mode & 0o777 == 0o600
    kind.close()


def test_without_an_inventory_nothing_is_invented(bucket: Bucket, stores: Pair) -> None:
    """Nobody watched: no account, and the step says so."""
    lose_east(bucket, stores)
    kind = bucket.kind()
    bucket.perform_all(kind, *TO_WEST)
    assert not bucket.found(Accounted)
    assert inventory.read(inventory.place(bucket.place, "logs")) is None


def test_promotion_happens_once(bucket: Bucket) -> None:
    """The same again finds it done and leaves no second marker; the marker's epoch is above the lease's and the one before."""
    kind = bucket.kind()
    promote = step_of(kind, Verb.PROMOTE, *TO_WEST)
    first = bucket.perform(promote, *TO_WEST)
    markers = bucket.store("west").page(".dr/primary/").items
    again = promote.operation.observe(bucket.context(promote, *TO_WEST, epoch=40))
    assert (first.look, again.look) == (Look.DONE, Look.DONE)
    promote.operation.act(bucket.context(promote, *TO_WEST, epoch=40))
    assert [item.key for item in bucket.store("west").page(".dr/primary/").items] == [item.key for item in markers]
    poll(lambda: kind.view().regions["east"].role is Role.SECONDARY, "the marker to arrive")
    back = step_of(kind, Verb.PROMOTE, Intent.FAILOVER, "west", "east")
    back.operation.act(bucket.context(back, Intent.FAILOVER, "west", "east", epoch=40))
    assert bucket.store("east").head(control.Keys(".dr/").marker(40, "east")) is not None


def test_promotion_can_be_taken_back(bucket: Bucket) -> None:
    """A planned move that fails later: the source leads again as of a still newer epoch, in both stores."""
    kind = bucket.kind()
    promote = step_of(kind, Verb.PROMOTE, *TO_WEST)
    assert promote.spec.undoable and not promote.spec.irreversible
    bucket.perform(promote, *TO_WEST)
    for _ in range(2):
        promote.operation.undo(bucket.context(promote, *TO_WEST))
        assert kind.view().primary == "east"


def test_a_stale_marker_changes_nothing(bucket: Bucket) -> None:
    """Epochs decide, not what was written last: an old primary's marker that comes late is not believed."""
    kind = bucket.kind()
    bucket.perform(step_of(kind, Verb.PROMOTE, *TO_WEST), *TO_WEST)
    bucket.store("west").put(control.Keys(".dr/").marker(1, "east"), b"written again")
    assert kind.view().primary == "west"


def test_a_planned_move_waits_for_every_object(bucket: Bucket, stores: Pair) -> None:
    """Objects that the replication will never bring are brought; the recovery point is complete then, and nothing is lost."""
    bucket.put("east", *LOGS)
    arrive(bucket, "west", *LOGS)
    stores.send("sync", signal.SIGSTOP)
    for key in LOGS[:3]:
        bucket.store("west").delete(key)
    stores.kill("sync")
    stores.start_sync_from_now()
    kind = bucket.kind(stalled_after=timedelta(seconds=30))  # the replication was started a moment ago and has yet to connect
    bucket.perform_all(kind, *PLANNED)
    assert bucket.keys("west") == set(LOGS)
    point = bucket.found(RecoveryPoint)[-1]
    assert isinstance(point, RecoveryPoint) and point.complete
    drained = next(item for item in bucket.found(Accounted) if isinstance(item, Accounted))
    assert (drained.region, drained.missing_total, drained.repaired, drained.checked) == ("west", 3, 3, 12)
    assert kind.view().primary == "west"


def test_a_planned_move_does_not_begin_while_the_replication_stands(bucket: Bucket, stores: Pair) -> None:
    """Found out in prepare, before anything is frozen."""
    stores.send("sync", signal.SIGSTOP)
    prepare = step_of(bucket.kind(), Verb.PREPARE, *PLANNED)
    with pytest.raises(Permanent, match="did not arrive"):
        prepare.operation.act(bucket.context(prepare, *PLANNED))


def test_an_undrained_bucket_is_not_promoted_in_a_planned_move(bucket: Bucket) -> None:
    """Without the drain's evidence nobody can say that nothing is lost."""
    promote = step_of(bucket.kind(), Verb.PROMOTE, *PLANNED)
    assert promote.operation.observe(bucket.context(promote, *PLANNED)).look is Look.BLOCKED


def test_what_only_the_old_side_has_is_kept_and_brought_over(bucket: Bucket, stores: Pair) -> None:
    """The store that died behind comes back: its four objects are preserved with digests, put into the new primary, and both are equal."""
    lose_east(bucket, stores)
    kind = bucket.kind()
    bucket.perform_all(kind, *TO_WEST)
    late = "quiet-comet-002/dag_id=d/run_id=r/task_id=t/attempt=1.log"
    bucket.put("west", late)
    stores.start("east")
    stores.start_sync_from_now()
    bucket.perform_all(kind, *BACK)
    kept = bucket.found(Preserved)[-1]
    assert isinstance(kept, Preserved)
    assert kept.items == 4
    for line in Path(kept.manifest).read_text().splitlines():
        digest, size, path = line.split(" ", 2)
        content = (Path(kept.path) / path).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), str(len(content))) == (digest, size)
    assert bucket.keys("west") == bucket.keys("east") == {*LOGS, late}
    found = accounts(bucket)
    assert (found["west"].missing_total, found["west"].repaired, found["west"].complete) == (4, 4, True)
    assert (found["east"].missing_total, found["east"].repaired) == (1, 1)
    assert bucket.found(Following)
    view = kind.view()
    assert (view.primary, view.regions["east"].role) == ("west", Role.SECONDARY)
    poll(lambda: kind.sample("west").state is Known.KNOWN, "the heartbeat of west to arrive in east")


def test_preserving_again_keeps_the_same(bucket: Bucket, stores: Pair) -> None:
    """The process died after the manifest: the next one finds it, and believes it only where files and digests agree."""
    lose_east(bucket, stores)
    kind = bucket.kind()
    bucket.perform_all(kind, *TO_WEST)
    stores.start("east")
    preserve = step_of(kind, Verb.PRESERVE, *BACK)
    bucket.perform(preserve, *BACK)
    kept = bucket.found(Preserved)[-1]
    assert isinstance(kept, Preserved)
    assert preserve.operation.observe(bucket.context(preserve, *BACK)).look is Look.DONE
    some = next(path for path in (Path(kept.path) / "objects").rglob("*") if path.is_file())
    some.write_bytes(b"somebody else's")
    with pytest.raises(Permanent, match="do not agree"):
        preserve.operation.observe(bucket.context(preserve, *BACK))


def test_nothing_newer_is_overwritten(bucket: Bucket, stores: Pair) -> None:
    """Written on both sides, on the old one last: both versions stay, the conflict is listed, and the old one is kept outside, too."""
    both, newer, stale = "both.log", "newer.log", "stale.log"
    bucket.put("east", both, newer, stale, content=b"before")
    arrive(bucket, "west", both, newer, stale)
    stores.kill("sync")
    another_second(bucket, "east")
    bucket.put("east", newer, content=b"never arrived")
    kind = bucket.kind()
    another_second(bucket, "east")
    bucket.perform_all(kind, *TO_WEST)
    another_second(bucket, "west")
    bucket.put("west", both, stale, content=b"new side")
    another_second(bucket, "west")
    bucket.put("east", both, content=b"old side wrote on")
    stores.start_sync_from_now()
    bucket.perform_all(kind, *BACK)
    assert (bucket.content("west", both), bucket.content("east", both)) == (b"new side", b"old side wrote on")
    assert (bucket.content("west", newer), bucket.content("east", newer)) == (b"never arrived", b"never arrived")
    assert (bucket.content("west", stale), bucket.content("east", stale)) == (b"new side", b"new side")
    found = accounts(bucket)
    assert (found["west"].conflicts, found["east"].conflicts_total) == ((both,), 1)
    kept = bucket.found(Preserved)[-1]
    assert isinstance(kept, Preserved)
    assert "both.log" in Path(kept.manifest).read_text()


def test_the_runbooks_words_never_turn_the_direction(bucket: Bucket) -> None:
    """Re-protect the wrong way round: the source is the primary as of a newer epoch, so nothing is copied from the target."""
    kind = bucket.kind()
    for verb in (Verb.PRESERVE, Verb.FOLLOW):
        step = step_of(kind, verb, *BACK)
        seen = step.operation.observe(bucket.context(step, *BACK))
        assert (seen.look, seen.reason.startswith("newest-copy")) == (Look.BLOCKED, True)


def test_following_means_that_heartbeats_arrive(bucket: Bucket, stores: Pair) -> None:
    """Both sides are equal, and nothing replicates: that is not followed."""
    kind = bucket.kind()
    bucket.perform_all(kind, *TO_WEST)
    poll(lambda: kind.view().regions["east"].role is Role.SECONDARY, "the marker to arrive")
    stores.send("sync", signal.SIGSTOP)
    # time enough to compare both sides, and what is left of it waits for a heartbeat that never comes
    seen = bucket.perform(step_of(kind, Verb.FOLLOW, *BACK), *BACK, seconds=8)
    assert (seen.look, "does the replication run" in seen.reason) == (Look.NEEDED, True)


def test_keys_with_every_sort_of_character(bucket: Bucket) -> None:
    """Signed, sent, listed and compared as they are."""
    names = {"a b.log", "a+b.log", "ü/é.log", "100%.log", "q?x=1&y.log", "hash#.log", "run_id=2026-01-01T00:00:00+00:00/x.log", "~.log"}
    bucket.put("east", *names)
    assert bucket.keys("east") == names
    arrive(bucket, "west", *names)
    for name in names:
        assert bucket.content("west", name) == b"one line\n"


def test_conditional_writes_hold(bucket: Bucket) -> None:
    """New only where there is none; instead of one version only over that version; refused otherwise, and nothing is changed."""
    store = bucket.store("east")
    store.put("x", b"1", new=True)
    with pytest.raises(Taken):
        store.put("x", b"2", new=True)
    seen = store.head("x")
    assert seen is not None
    store.put("x", b"3", instead_of=seen.etag)
    with pytest.raises(Taken):
        store.put("x", b"4", instead_of=seen.etag)
    assert bucket.content("east", "x") == b"3"


def test_errors_say_where_and_never_the_secret(bucket: Bucket, stores: Pair) -> None:
    """Refused, denied: told apart, with a next step, without a header of the request."""
    settings = bucket.settings()["regions"]
    assert isinstance(settings, dict)
    settings["east"]["secret_key"] = {"env": "WRONG"}
    wrong = bucket.kind(regions=settings)
    check = step_of(wrong, Verb.PREPARE, Intent.FAILOVER, "west", "east")
    with pytest.raises(Denied) as denied:
        check.operation.observe(bucket.context(check, Intent.FAILOVER, "west", "east"))
    assert denied.value.hint
    stores.kill("east")
    with pytest.raises(NotServed) as gone:
        bucket.store("east").head("x")
    assert gone.value.refused
    for error in (denied.value, gone.value):
        text = f"{error} {error.hint} {error.__cause__!r} {error.__context__!r}"
        assert "another-secret" not in text and "AWS4-HMAC" not in text


def test_everything_is_listed_page_by_page_and_in_parallel(bucket: Bucket) -> None:
    """More than a page below one prefix, objects at every level: each once, as one listing after the other finds them."""
    from concurrent.futures import ThreadPoolExecutor

    from dr.providers.selfhosted.s3.listing import TooMany, list_all

    store = bucket.store("east")
    wanted = {f"flat/{number:05d}.log" for number in range(1050)} | {"top.log", "a/one.log", "a/b/two.log", "a/b/c/d/three.log"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), sorted(wanted)))
    assert {key for key in list_all(store) if not key.startswith(".dr/")} == wanted == bucket.keys("east")
    with pytest.raises(TooMany):
        list_all(store, most=100)
    with pytest.raises(StepError):
        list_all(store, give_up=lambda: True)


def test_a_kind_of_one_bucket_is_refused(bucket: Bucket) -> None:
    """Both regions must not be one bucket, and regions must be the runbook's."""
    from dr.errors import UsageError

    settings = bucket.settings()["regions"]
    assert isinstance(settings, dict)
    with pytest.raises(UsageError, match="both are the bucket"):
        bucket.kind(regions={"east": settings["east"], "west": settings["east"]})
    with pytest.raises(UsageError, match="north"):
        bucket.kind(regions={"east": settings["east"], "north": settings["west"]})
    assert isinstance(bucket.kind(), S3Bucket)


def test_steps_say_what_they_touch(bucket: Bucket) -> None:
    """Every step has a way by hand, a check, permissions; a failover touches the target only."""
    kind = bucket.kind()
    for intent in Intent:
        for step in kind.steps(intent, "east", "west"):
            spec = step.spec
            assert spec.by_hand and spec.check_by_hand and spec.permissions and spec.touches, spec.id
            assert spec.estimate > timedelta(0) and spec.budget > spec.estimate
            if intent is Intent.FAILOVER:
                assert {touch.region for touch in spec.touches} == {"west"}, spec.id


def test_a_person_with_curl_does_the_same(bucket: Bucket) -> None:
    """Check, mark and ask by hand: the marker counts for the tool, and no key is on a command line."""

    def typed(command: str) -> subprocess.CompletedProcess[str]:
        assert SECRET not in command
        environment = {**os.environ, "ACCESS": ACCESS, "SECRET": SECRET}
        where, argv = bucket.place, ["bash", "-c", command]
        return subprocess.run(argv, cwd=where, capture_output=True, text=True, env=environment, timeout=60, check=False)

    kind = bucket.kind()
    steps = {step.spec.verb: step.spec for step in kind.steps(*TO_WEST)}
    assert typed(kind.question("east").primary).stdout.strip() == "east"
    for verb in (Verb.PREPARE, Verb.PROMOTE, Verb.VERIFY_INSIDE):
        for command in (steps[verb].by_hand, steps[verb].check_by_hand):
            done = typed(command)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert kind.view().primary == "west"
    assert typed(steps[Verb.PROMOTE].check_by_hand).returncode == 0
    kind.beat("east")
    poll(lambda: kind.sample("east").recovery_point is not None, "the heartbeat to arrive")
    assert '"region": "east"' in typed(kind.question("west").recovery_point).stdout
    follow = next(step.spec for step in kind.steps(*BACK) if step.spec.verb is Verb.FOLLOW)
    for command in (follow.by_hand, follow.check_by_hand):
        done = typed(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
