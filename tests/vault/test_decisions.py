"""What is decided without asking anybody: which copy is older, what a value leads into, what a comparison comes to."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dr.errors import Transient
from dr.model.words import Role, Severity
from dr.providers.selfhosted.vault.accounts import PER_REGION, Compared, Item, Side, compare, compare_kept, some, unequal
from dr.providers.selfhosted.vault.carry import allowed
from dr.providers.selfhosted.vault.config import Copy, VaultConfig
from dr.providers.selfhosted.vault.deployments import Authority, decrypts, is_keys
from dr.providers.selfhosted.vault.findings import Judged, findings, roles
from dr.providers.selfhosted.vault.known import Key, Known
from dr.providers.selfhosted.vault.lineage import History, Standing, only_there, standing, to_carry
from dr.providers.selfhosted.vault.needs import Lacks
from dr.providers.selfhosted.vault.secret import Fact, Secret, Value, Version
from dr.providers.selfhosted.vault.vaults import Late
from dr.providers.selfhosted.vault.wire import Answer, NotAnswering, Sealed
from dr.providers.selfhosted.vault.words import leads_into, words

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REGIONS = {
    "east": {"url": "https://10.1.0.5:8200", "token": {"env": "E"}}, "west": {"url": "https://vault.west.example", "token": {"env": "W"}},
}  # fmt: skip


def config(**changes: object) -> VaultConfig:
    return VaultConfig.model_validate({"regions": REGIONS, **changes})


def history(region: str, contents: str, *, copied_from: str = "", updated: int = 0, path: str = "a") -> History:
    """One letter for each version; ``-`` is a deleted one. ``copied_from``: the newest version is a copy, of that region."""
    number = len(contents)
    versions = {n: Version(n, NOON, "deleted" if letter == "-" else "") for n, letter in enumerate(contents, 1)}
    marks = {"source_region": copied_from, "copied_version": str(number), "source_version": "1"} if copied_from else {}
    secret = Secret(path, number, NOON + timedelta(seconds=updated), versions, marks)
    return History(region, secret, {n: letter for n, letter in enumerate(contents, 1) if letter != "-"})


def side(region: str, **contents: str) -> tuple[Side, dict[str, History]]:
    """Secrets by name with their versions' letters."""
    held = {path: history(region, text, path=path) for path, text in contents.items()}
    facts = {path: Fact(item.current) for path, item in held.items() if item.current is not None}
    return Side(region, {path: item.secret for path, item in held.items()}, facts), held


def judged(original: dict[str, str], copy: dict[str, str]) -> Compared:
    (one, ours), (other, theirs) = side("east", **original), side("west", **copy)
    return compare(one, other, {path: (ours[path], theirs[path]) for path in unequal(one, other)})


@pytest.mark.parametrize(
    ("original", "copy", "expected"),
    [
        (history("east", "a"), history("west", "a"), Standing.EQUAL),
        (history("east", "ab"), history("west", "xb"), Standing.EQUAL),  # readers get the same
        (history("east", "abc"), history("west", "ab"), Standing.OLDER),
        (history("east", "abc"), history("west", "b"), Standing.OLDER),  # numbers say nothing
        (history("east", "a"), history("west", "ab"), Standing.NEWER),
        (history("east", "b"), history("west", "a", copied_from="east"), Standing.OLDER),  # the original's history is gone
        (history("east", "a", copied_from="west"), history("west", "b"), Standing.NEWER),
        (history("east", "a"), history("west", "b"), Standing.DIVERGED),
        (history("east", "ab"), history("west", "ac"), Standing.DIVERGED),  # both went on from the same
        (history("east", "aba", updated=9), history("west", "ab"), Standing.OLDER),  # put back: only times can tell
        (history("east", "aba"), history("west", "ab", updated=9), Standing.NEWER),
    ],
)  # fmt: skip
def test_how_a_copy_stands_to_its_original(original: History, copy: History, expected: Standing) -> None:
    """Contents seen by the other side decide, then the origin that was kept, and times only where both saw both."""
    assert standing(original, copy) is expected


def test_no_two_sides_both_claim_to_be_older() -> None:
    """Exhaustively over short histories: seen from the other side, older is newer, and what diverged diverged."""
    opposite = {Standing.OLDER: Standing.NEWER, Standing.NEWER: Standing.OLDER}
    texts = ["".join(letters) for length in (1, 2, 3) for letters in itertools.product("abc", repeat=length)]
    for one, other in itertools.product(texts, repeat=2):
        ours, theirs = history("east", one, updated=5), history("west", other)
        there, back = standing(ours, theirs), standing(theirs, ours)
        assert opposite.get(there, there) is back, (one, other)


@pytest.mark.parametrize(
    ("original", "copy", "expected"),
    [
        ("abc", None, (1, 2, 3)), ("a-c", None, (1, 3)), ("abc", "a", (2, 3)), ("abcbd", "b", (5,)), ("abc", "x", (1, 2, 3)),
        ("abcdefghijkl", None, tuple(range(3, 13))),
    ],
)  # fmt: skip
def test_which_versions_are_carried_over(original: str, copy: str | None, expected: tuple[int, ...]) -> None:
    """Those after what the copy has, oldest first, deleted ones left out, the newest ten at most, the current one always."""
    held = None if copy is None else history("west", copy)
    assert to_carry(history("east", original), held) == expected


def test_what_only_the_old_side_has_is_counted_by_content() -> None:
    """Copies in either direction do not count; the same content twice counts once."""
    assert only_there(history("east", "abxcx"), frozenset("abc")) == (5,)
    assert only_there(history("east", "abc"), frozenset("abcd")) == ()


def test_a_comparison_names_everything_that_is_not_equal() -> None:
    """Missing, deleted, older, newer, diverged and extra; what its origin has deleted is missed by nobody."""
    found = judged(
        {"equal": "a", "missing": "a", "deleted": "a", "older": "ab", "newer": "a", "diverged": "a", "gone": "a-"},
        {"equal": "a", "deleted": "a-", "older": "a", "newer": "ab", "diverged": "b", "gone": "a", "extra": "a"},
    )
    assert {item.path: (item.standing, item.why) for item in found.items} == {
        "missing": (Standing.MISSING, "not there"), "deleted": (Standing.MISSING, "its newest version is deleted"),
        "older": (Standing.OLDER, ""), "newer": (Standing.NEWER, ""), "diverged": (Standing.DIVERGED, ""),
        "extra": (Standing.EXTRA, ""), "gone": (Standing.EXTRA, ""),
    }  # fmt: skip
    account = found.accounted("secrets", NOON, carried=(Item("equal", Standing.MISSING),))
    assert (account.checked, account.equal, account.missing_total, account.differing_total, account.conflicts_total) == (6, 0, 3, 2, 1)
    assert (account.repaired, account.missing) == (1, ("deleted", "missing", "equal"))


@pytest.mark.parametrize(
    ("kept", "held", "copied_from", "expected"),
    [
        ("a", "a", "", None), ("a", "ab", "", Standing.NEWER), ("a", "ab", "east", None), ("a", "b", "", Standing.OLDER),
        ("a", "a-", "", Standing.MISSING), (PER_REGION, "z", "", Standing.OLDER),
    ],
)  # fmt: skip
def test_a_lost_side_is_represented_by_what_was_kept_of_it(kept: str, held: str, copied_from: str, expected: Standing | None) -> None:
    """A value that was copied after the account was taken is no change; one that was written here is."""
    there = history("west", held, copied_from=copied_from)
    facts = {"a": Fact(there.current)} if there.current is not None else {}
    found = compare_kept({"a": kept}, "east", Side("west", {"a": there.secret}, facts), {"a": there})
    assert [item.standing for item in found.items] == ([] if expected is None else [expected])
    assert not found.complete


def test_what_may_be_written_over() -> None:
    """The policy decides; newer and diverged values give way only to a side that leads by its epoch; own values are never copied."""
    items = (*(Item(name, name) for name in Standing), Item("own", Standing.MISSING, own=True))
    compared = Compared("west", 9, items, complete=True)

    def names(policy: Copy, *, leading: bool = False) -> set[str]:
        return {item.path for item in allowed(compared, policy, leading=leading)}

    assert names(Copy.NEVER) == names(Copy.NEVER, leading=True) == set()
    assert names(Copy.MISSING) == names(Copy.MISSING, leading=True) == {"missing"}
    assert names(Copy.NEWER) == {"missing", "older"}
    assert names(Copy.NEWER, leading=True) == {"missing", "older", "newer", "diverged"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres.east.internal", {"east"}), ("https://east.example.com/x", {"east"}), ("db.east:5432", {"east"}), ("10.1.0.5", {"east"}),
        ("postgres://u:p@10.1.0.5:5432/facts", {"east"}), ("db.EAST.internal", {"east"}), ("a.west.b", {"west"}),
        ("db.east.x, db.west.x", {"east", "west"}), ("https://vault.west.example", {"west"}),
        ("eastern.example", set()), ("db.us-east-1.amazonaws.com", set()), ("north-east.example", set()), ("in the far east.", set()),
        ("east", set()), ("10.1.0.55", set()), ("210.1.0.5", set()), ("10.1.0.5.example", set()), ("feast.example", set()),
    ],
)  # fmt: skip
def test_what_leads_into_a_region(text: str, expected: set[str]) -> None:
    """By default a region's address, and its name as a whole part of a host name; words that only contain it raise no alarm."""
    assert leads_into(Value({"deep": [{"er": text}], "n": 1}), words(config())) == expected


def test_words_of_the_runbook_replace_the_default() -> None:
    """Each region has its own; none given for a region that is named means none."""
    known = words(config(lost_region_words={"east": ["us-east-1"], "west": []}))
    assert leads_into(Value({"a": "db.us-east-1.amazonaws.com"}), known) == {"east"}
    assert leads_into(Value({"a": "a.west.b and postgres.east.internal"}), known) == frozenset()


def test_roles_follow_the_platforms_database() -> None:
    """Primary is where it takes writes; a sealed server has the role of its region; one that does not answer has none."""
    there, _ = side("east", a="a")
    primary, secondary = Authority(True, 4, ()), Authority(False, None, ())
    seen = roles({"east": there, "west": Sealed("sealed")}, {"east": primary, "west": secondary})
    assert (seen["east"].role, seen["east"].epoch, seen["west"].role) == (Role.PRIMARY, 4, Role.SECONDARY)
    gone = {"east": NotAnswering("no"), "west": NotAnswering("no", refused=True)}
    assert {name: view.role for name, view in roles(gone, {"east": primary, "west": secondary}).items()} == {
        "east": Role.UNREACHABLE, "west": Role.STOPPED,
    }  # fmt: skip
    silent = roles({"east": there, "west": there}, {"east": primary, "west": Transient("no answer")})
    assert silent["west"].role is Role.SECONDARY
    assert roles({"west": there}, {"west": Transient("no answer")})["west"].role is Role.SECONDARY
    assert roles({"east": there, "west": there}, {}) == {}, "without a database nobody is primary of secrets"
    assert roles({"east": there, "west": Sealed("sealed")}, {})["west"].role is Role.UNKNOWN


def test_a_slow_look_refuses_nothing() -> None:
    """A busy machine is no dead region: the role stays, a warning says that it was not judged; ``prepare`` takes its time."""
    secondary = Authority(False, None, ())
    sides = {"west": Late("not within the time of one look")}
    views = roles(sides, {"west": secondary})
    assert views["west"].role is Role.SECONDARY
    assert [item.severity for item in findings("secrets", sides, views, {})] == [Severity.WARNING]
    partial = {"west": side("west", a="a")[0]}
    found = findings("secrets", partial, views, {"west": Judged(late="9 of 10 were not read")})
    assert [item.severity for item in found] == [Severity.WARNING] and "9 of 10" in found[0].fact


def test_what_is_wrong_where_we_are_refuses_nothing() -> None:
    """The same fact is an error in a region that could be moved to, and a warning in the one that is primary; each names its region."""
    there, _ = side("east", a="a")
    sides = {"east": there, "west": Side("west", {}, {"b": Fact("b", frozenset({"east"}))})}
    views = roles(sides, {"east": Authority(True, 1, ()), "west": Authority(False, None, ())})
    missing = {name: Judged(Compared(name, 1, (Item("x", Standing.MISSING, "not there"),), True), Lacks(no_keys=("k",))) for name in sides}
    found = {(item.region, item.severity) for item in findings("secrets", sides, views, missing)}
    assert found == {("east", Severity.WARNING), ("west", Severity.ERROR)}
    texts = [item.fact for item in findings("secrets", sides, views, missing) if item.region == "west"]
    assert texts == [
        "secrets: 1 secret missing in west: x (not there)", "secrets: 1 secret without a Fernet key in west: k",
        "secrets: 1 secret in west leading into east: b",
    ]  # fmt: skip


def test_a_missing_secret_is_said_once() -> None:
    """What Deployments need and the other side has is one finding, not two."""
    sides = {"west": Side("west", {}, {})}
    compared = Compared("west", 1, (Item("pull/d-001", Standing.MISSING, "not there"),), True)
    found = findings("secrets", sides, {}, {"west": Judged(compared, Lacks(missing=("pull/d-001 (not there)",)))})
    assert len(found) == 1


def test_keys_and_tokens() -> None:
    """As Airflow writes them: one key or several, the newest first; anything else is no key and decrypts nothing."""
    from cryptography.fernet import Fernet

    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    token = Fernet(old).encrypt(b"x").decode()
    assert is_keys(old) and is_keys(f"{new}, {old}") and not is_keys("") and not is_keys("this was a key once") and not is_keys(old[:-4])
    assert decrypts(old, token) and decrypts(f"{new},{old}", token)
    assert not decrypts(new, token) and not decrypts("", token) and not decrypts(old, "no token")


def test_values_are_shown_nowhere() -> None:
    """Not in a repr, not in an f-string, not with the answer that brought them."""
    value = Value({"password": "hunter2"})
    assert "hunter2" not in repr(value) + f"{value}" + repr(Answer(200, {"data": {"password": "hunter2"}}))
    assert value.canonical == '{"password":"hunter2"}'


def test_what_is_known_is_kept_for_the_next_process(tmp_path: Path) -> None:
    """For as long as is asked, of the same basis, and nothing where the file is damaged."""
    now = [NOON]
    path, key, fact = tmp_path / "known" / "secrets.json", Key("east", "a", 1, "then"), Fact("digest", frozenset({"west"}), True)
    known = Known(path, "basis", lambda: now[0])
    known.put(key, fact)
    known.save()
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    again = Known(path, "basis", lambda: now[0])
    assert again.get(key, timedelta(minutes=1)) == fact
    assert again.get(key, timedelta(0)) is None
    assert Known(path, "another", lambda: now[0]).get(key, timedelta(minutes=1)) is None
    now[0] += timedelta(minutes=2)
    assert again.get(key, timedelta(minutes=1)) is None
    path.write_text(path.read_text()[:-9])
    assert Known(path, "basis", lambda: now[0]).get(key, timedelta(hours=1)) is None
    path.write_text(json.dumps({"basis": "basis", "facts": [[1, 2]]}))
    assert Known(path, "basis", lambda: now[0]).get(key, timedelta(hours=1)) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"copies": "always"}, "copies"), ({"prefixes": ["/x"]}, "paths"), ({"prefixes": ["dr-preserved/"]}, "paths"),
        ({"needed": ["pull/{id}"]}, "database"), ({"fernet": {}}, "database"), ({"lost_region_words": {"north": ["n"]}}, "north"),
        ({"regions": {**REGIONS, "west": {"url": "vault.west:8200", "token": {"env": "W"}}}}, "https://"),
        ({"regions": {**REGIONS, "west": {"url": "https://u:p@vault.west:8200", "token": {"env": "W"}}}}, "https://"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(changes: dict[str, object], expected: str) -> None:
    """One sentence names the field and what was expected."""
    with pytest.raises(ValidationError, match=expected):
        config(**changes)


def test_what_is_protected() -> None:
    """Everything, or what the prefixes name; never what is preserved."""
    assert config().protects("any/thing") and not config().protects("dr-preserved/run/any")
    some_of_it = config(prefixes=["deployments/", "shared/smtp"])
    assert some_of_it.protects("deployments/d-001/fernet") and some_of_it.protects("shared/smtp") and not some_of_it.protects("other")
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
