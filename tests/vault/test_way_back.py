"""Before and after on two real OpenBao servers: the same secrets, what only the old side had, and nothing that leaks."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from dr.model.evidence import Accounted, Following, Note, Preserved
from dr.model.words import Guard, Intent
from dr.ports import Look, Seen
from dr.providers.selfhosted.vault import VaultKv
from dr.providers.selfhosted.vault.wire import Conflict
from tests.vault.databases import Databases
from tests.vault.rig import Pair

pytestmark = pytest.mark.lab
PLANNED, FAILOVER, REPROTECT = Intent.SWITCHOVER, Intent.FAILOVER, Intent.REPROTECT


# --- before and after ---


def test_the_same_secrets_before_and_after(pair: Pair) -> None:
    """Kept in the source of a planned move, compared as sets in the target; what is only there was created later."""
    pair.put("east", "a", "one")
    pair.put("east", "b", "one")
    kind = pair.kind()
    for name in ("prepare", "snapshot", "fingerprint"):
        assert pair.run(kind, name, PLANNED).look is Look.DONE, name
    pair.put("west", "later", "x")
    assert pair.run(kind, "fingerprint", PLANNED).look is Look.DONE
    assert "1 were created since" in pair.found(Note).text
    pair.put("west", "a", "another")
    pair.delete("west", "b")
    pair.samples.keep_identities("test", "secrets", kind.identities("east"))
    seen = pair.run(kind, "fingerprint", PLANNED)
    assert seen.look is Look.BLOCKED and "a, b" in seen.reason and "--accept identities" in seen.reason
    account = pair.found(Accounted)
    assert (account.checked, account.equal, account.missing, account.conflicts) == (2, 0, ("b",), ("a",))
    pair.accept(Guard.IDENTITIES)
    assert pair.run(kind, "fingerprint", PLANNED).look is Look.DONE


def test_without_an_account_nothing_is_claimed(pair: Pair) -> None:
    """Nobody watched: it is said that nothing was compared."""
    pair.put("west", "a", "one")
    seen = pair.run(pair.kind(), "fingerprint", FAILOVER)
    assert seen.look is Look.DONE and "no account of east" in seen.reason
    assert not [item for item in pair.evidence if isinstance(item, Accounted)]


# --- the way back ---


def diverged(pair: Pair) -> VaultKv:
    """East was primary and wrote what never reached west; west leads now and has gone on."""
    pair.peers["db"] = Databases(west=2)
    kind = pair.kind(database="db")
    for path in ("both", "theirs", "equal"):
        pair.put("east", path, "common")
    kind.copy("east", "west")
    pair.put("east", "both", "lost-1", "lost-2")
    pair.put("east", "only-east", "lost-3")
    pair.put("west", "both", "new")
    pair.put("west", "theirs", "new")
    pair.put("west", "created", "new")
    return kind


def test_what_only_the_old_side_had_is_kept_and_then_it_follows(pair: Pair) -> None:
    """Values go from store to store; in the files are paths, versions and keyed digests. Nothing is deleted anywhere."""
    kind = diverged(pair)
    assert pair.run(kind, "preserve", REPROTECT).look is Look.DONE
    kept = {path: pair.get("west", path) for path in pair.all("west") if path.startswith("dr-preserved/")}
    assert kept == {
        "dr-preserved/run-1/both/version-2": "lost-1", "dr-preserved/run-1/both/version-3": "lost-2",
        "dr-preserved/run-1/only-east/version-1": "lost-3",
    }  # fmt: skip
    preserved = pair.found(Preserved)
    manifest = Path(preserved.manifest).read_text()
    lines = [json.loads(line) for line in manifest.splitlines()]
    assert preserved.items == 3 and {(line["path"], line["version"]) for line in lines} == {("both", 2), ("both", 3), ("only-east", 1)}
    assert "lost" not in manifest

    assert pair.run(kind, "follow", REPROTECT).look is Look.DONE
    assert {path: pair.get("east", path) for path in pair.all("east")} == {
        "both": "new", "theirs": "new", "equal": "common", "created": "new", "only-east": "lost-3",
    }  # fmt: skip
    assert pair.get("east", "both", 3) == "lost-2", "still there as an older version"
    account = pair.found(Accounted)
    assert (account.region, account.checked, account.repaired, account.missing_total, account.differing_total) == ("east", 4, 3, 1, 2)
    assert pair.found(Following).region == "east"
    assert "only-east" in pair.found(Note).text


def test_keeping_twice_keeps_once(pair: Pair) -> None:
    """A second run finds everything kept; killed in between, it goes on where it was."""
    kind = diverged(pair)
    pair.run(kind, "preserve", REPROTECT)
    pair.run(kind, "follow", REPROTECT)
    before = set(pair.all("west"))
    again = pair.kind(database="db")
    assert pair.run(again, "preserve", REPROTECT).look is Look.DONE and pair.run(again, "follow", REPROTECT).look is Look.DONE
    assert set(pair.all("west")) == before


def test_a_copy_that_was_kept_wrongly_is_not_taken_for_kept(pair: Pair) -> None:
    """What is kept is compared by content: another secret in its place blocks instead of letting the old side be written over."""
    kind = diverged(pair)
    pair.put("west", "dr-preserved/run-1/both/version-2", "something else")
    seen = pair.run(kind, "preserve", REPROTECT)
    assert seen.look is Look.BLOCKED and "1 version only in east" in seen.reason


@pytest.mark.parametrize("writable", [{"east": 1}, {"east": 3, "west": 2}, {"east": 2, "west": 2}])
def test_the_side_that_leads_is_never_written_over(pair: Pair, writable: dict[str, int]) -> None:
    """Judged by the databases' epochs, whatever the command says (I17)."""
    kind = diverged(pair)
    pair.peers["db"] = Databases(**writable)
    for name in ("preserve", "follow"):
        seen = pair.run(kind, name, REPROTECT)
        assert seen.look is Look.BLOCKED and seen.reason.startswith("newest-copy"), name
    assert pair.get("east", "both") == "lost-2"


def test_where_nobody_can_tell_who_leads_newer_values_stay(pair: Pair) -> None:
    """Without a database in the runbook only what is plainly missing or older is written; the rest is listed."""
    diverged(pair)
    kind = pair.kind()
    assert pair.run(kind, "follow", REPROTECT).look is Look.DONE
    assert (pair.get("east", "theirs"), pair.get("east", "created"), pair.get("east", "both")) == ("new", "new", "lost-2")
    account = pair.found(Accounted)
    assert account.differing == ("both", "theirs") and account.repaired == 2


# --- nothing leaks ---


def test_no_value_and_no_bare_hash_is_left_behind(pair: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    """Evidence, reasons, findings, files, the database of samples, what is printed, and everything's repr."""
    words = [f"planted-{name}-2f9c" for name in ("one", "two", "three", "four")]
    kind = diverged(pair)
    pair.put("east", "a", words[0], words[1])
    pair.put("west", "b", words[2])
    said: list[Seen] = []
    for intent, names in ((FAILOVER, ("prepare",)), (PLANNED, ("snapshot", "fingerprint")), (REPROTECT, ("preserve", "follow"))):
        if intent is REPROTECT:
            pair.put("east", "a", words[3])  # what has to be preserved
        said += [pair.run(kind, name, intent) for name in names]
    assert pair.found(Preserved).items == 3
    view = kind.view()
    vaults = kind._vaults
    shown = [repr(said), repr(pair.evidence), repr(view), repr(vaults.side("east")), repr(vaults.stores["east"].read("a"))]
    shown += [item.model_dump_json() for item in (*pair.evidence, view, kind.identities("east"), kind.sample("west"))]
    try:
        vaults.stores["west"].write("b", vaults.stores["east"].read("a"), 99)  # type: ignore[arg-type]  # it is there
    except Conflict as conflict:
        shown.append(f"{conflict} {conflict!r} {conflict.__context__!r}")
    out, err = capfd.readouterr()
    shown += [out, err]
    files = [path for path in pair.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"secrets.json", "samples.db", "secrets-prepare.jsonl", "secrets-preserve.jsonl"}
    everything = "\n".join(shown).encode() + b"".join(path.read_bytes() for path in files)
    tokens = [*pair.secrets.values.values(), *pair.servers.roots.values(), *pair.servers.keys.values()]
    for word in [*words, *tokens]:
        for data in (word, json.dumps({"value": word}, separators=(",", ":")), f"a\n{word}"):
            for form in (data.encode(), base64.b64encode(data.encode()), hashlib.sha256(data.encode()).hexdigest().encode(),
                         hashlib.sha1(data.encode()).hexdigest().encode(), hashlib.md5(data.encode()).hexdigest().encode()):  # fmt: skip
                assert form not in everything
