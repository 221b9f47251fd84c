"""What a person types for a bucket, literally: listed to the end, compared, kept, brought over, with ``curl`` and without ``dr``."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from dr.model.words import Intent, Verb
from dr.providers.selfhosted.s3 import S3Bucket, control
from dr.providers.selfhosted.s3.by_hand import ByHand
from dr.providers.selfhosted.s3.config import S3Config
from tests.logs.rig import ACCESS, ADDRESS, SECRET, Bucket, Pair, step_of
from tests.postgres.rig import poll
from tests.render.sheet import Person

ODD = (
    "dag_id=d/run_id=manual__2026-01-01T00:00:00+00:00/task_id=t/attempt=1.log", "a b+c:d=e&f/ü~*'()!.log", "z/<é> \"5%41\".log",
    "$@,;[]{}|^`#?/x", "日本/ログ &amp;.log",
)  # fmt: skip
"""Keys with everything that a URL, XML or a shell could take for something else."""
BACK = (Intent.REPROTECT, "east", "west")


class Typist(Person):
    """A person whose ``curl`` notes its arguments, as a list of processes would show them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.noted = folder / "arguments"
        curl = folder / "bin" / "curl"
        curl.rename(folder / "bin" / "real-curl")
        curl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {self.noted}\nexec {folder}/bin/real-curl "$@"\n')
        curl.chmod(0o755)


def component(bucket: Bucket) -> S3Bucket:
    """With the key pair in files, as in the lab."""
    for name, value in (("access", ACCESS), ("secret", SECRET)):
        (bucket.place / name).write_text(f"{value}\n")
    pair = {"access_key": {"file": "access"}, "secret_key": {"file": "secret"}}
    regions = S3Config.model_validate(bucket.settings()).model_dump(mode="json")["regions"]
    return bucket.kind(regions={region: {**regions[region], **pair} for region in ADDRESS})


def put(bucket: Bucket, region: str, keys: Sequence[str]) -> None:
    """Many objects, several at once; each with its key as content."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.store(region).put(key, key.encode()), keys))


def put_apart(bucket: Bucket, stores: Pair, objects: dict[str, Sequence[str]]) -> None:
    """Objects that no replication will ever bring to the other side."""
    stores.kill("sync")
    for region, keys in objects.items():
        put(bucket, region, keys)
    stores.start_sync_from_now()


def done(person: Person, kind: S3Bucket, verb: Verb) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """A step of re-protect and its check, typed."""
    spec = step_of(kind, verb, *BACK).spec
    return person.type(spec.by_hand), person.type(spec.check_by_hand)


def west_leads(bucket: Bucket) -> None:
    """West was promoted, and east never heard of it."""
    bucket.store("west").put(control.Keys(".dr/").marker(2, "west"), b"{}")


@pytest.mark.lab
def test_a_bucket_is_listed_to_the_end(bucket: Bucket, tmp_path: Path) -> None:
    """More than one page of 1,000, whatever the keys are made of: each key once, as a URL says it."""
    keys = [f"quiet-comet-{number % 7:03d}/dag_id=d/run_id=r:{number}+00/attempt=1.log" for number in range(1030)]
    keys += [f"quiet-comet-{number:03d}.log" for number in range(7)]  # a store that keeps directories has an order of its own
    put(bucket, "east", [*keys, *ODD])
    person, kind = Typist(tmp_path), component(bucket)
    spec = step_of(kind, Verb.FINGERPRINT, Intent.FAILOVER, "west", "east").spec
    assert (person.type(spec.by_hand).stderr, person.type(spec.check_by_hand).returncode) == ("", 0)
    rows = [line.split(" ") for line in (person.folder / "logs-east.keys").read_text().splitlines()]
    found = [unquote(key) for key, _, _, _ in rows]
    assert sorted(key for key in found if not key.startswith(".dr/")) == sorted([*keys, *ODD])
    assert all(quote(unquote(key), safe="/~") == key for key, _, _, _ in rows)
    assert all(int(size) == len(key.encode()) for key, (_, _, size, _) in zip(found, rows, strict=True) if not key.startswith(".dr/"))


@pytest.mark.lab
def test_what_either_side_lacks_is_brought_over(bucket: Bucket, stores: Pair, tmp_path: Path) -> None:
    """Preserve keeps what only the old side has; follow brings what is missing in both directions, headers and all, and the marker."""
    here, there = [f"east/{key}" for key in ODD], [f"west/{key}" for key in ODD]
    put_apart(bucket, stores, {"east": [*here, "both"], "west": [*there, "both"]})
    stores.kill("sync")
    packed = gzip.compress(b"one line\n")
    bucket.store("east").put(here[0], packed, {"content-type": "text/plain", "content-encoding": "gzip", "x-amz-meta-who": "t"})
    bucket.store("east").put("empty", b"")
    west_leads(bucket)
    stores.start_sync_from_now()
    person, kind = Typist(tmp_path), component(bucket)
    preserve = step_of(kind, Verb.PRESERVE, *BACK).spec
    assert person.type(preserve.check_by_hand).returncode != 0
    for verb in (Verb.PRESERVE, Verb.FOLLOW):
        did, checked = done(person, kind, verb)
        assert (did.returncode, checked.returncode) == (0, 0), f"{did.stdout}{did.stderr}\n{checked.stdout}{checked.stderr}"
    assert bucket.keys("east") == bucket.keys("west") == {*here, *there, "both", "empty"}
    assert [bucket.content("west", key) for key in here[1:]] == [key.encode() for key in here[1:]]
    assert [bucket.content("east", key) for key in there] == [key.encode() for key in there]
    there_was, copied = (bucket.store(region).get(here[0]) for region in ADDRESS)
    assert there_was is not None and copied is not None
    assert (copied.content, copied.item.etag, bucket.content("west", "empty")) == (there_was.content, there_was.item.etag, b"")
    assert {name: copied.headers[name] for name in ("content-type", "content-encoding", "x-amz-meta-who")} == {
        "content-type": "text/plain", "content-encoding": "gzip", "x-amz-meta-who": "t",
    }  # fmt: skip
    assert bucket.store("east").head(control.Keys(".dr/").marker(2, "west")) is not None
    index = dict(line.split(" ", 1) for line in (person.folder / "logs-kept" / "index").read_text().splitlines())
    kept = {unquote(what.split(" ")[1]): (person.folder / file).read_bytes() for file, what in index.items()}
    assert kept == {here[0]: packed, "empty": b"", **{key: key.encode() for key in here[1:]}}
    noted = person.noted.read_text()
    assert noted and ACCESS not in noted and SECRET not in noted


@pytest.mark.lab
def test_versions_that_differ_wait_for_a_person(bucket: Bucket, stores: Pair, tmp_path: Path) -> None:
    """Nothing that is there is overwritten before somebody has said whose version counts; the other version is kept then."""
    taken, left = ODD[0], ODD[1]
    stores.kill("sync")
    for region in ADDRESS:
        bucket.put(region, taken, left, content=f"written in {region}".encode())
    west_leads(bucket)
    stores.start_sync_from_now()
    person, kind = Typist(tmp_path), component(bucket)
    did, checked = done(person, kind, Verb.FOLLOW)
    assert did.returncode == 0 and checked.returncode != 0
    assert did.stdout.count(" differs: east 15 bytes") == 2
    assert {bucket.content(region, key) for region in ADDRESS for key in (taken, left)} == {b"written in east", b"written in west"}
    assert all(bucket.content(region, key) == f"written in {region}".encode() for region in ADDRESS for key in (taken, left))
    said = next(line for line in did.stdout.splitlines() if "echo" in line and quote(taken, safe="/~") in line)
    assert person.type(said.replace(" east'", " west'")).returncode == 0
    assert person.type(f"echo '{quote(left, safe='/~')} leave' >> logs.decided").returncode == 0
    did, checked = done(person, kind, Verb.FOLLOW)
    assert (did.returncode, checked.returncode) == (0, 0), f"{did.stdout}{did.stderr}\n{checked.stdout}{checked.stderr}"
    assert [bucket.content(region, taken) for region in ADDRESS] == [b"written in west"] * 2
    assert [bucket.content(region, left) for region in ADDRESS] == [b"written in east", b"written in west"]
    assert [path.read_bytes() for path in (person.folder / "logs-kept").glob("east-" + "?" * 32)] == [b"written in east"]


@pytest.mark.lab
def test_the_old_primary_is_no_target_by_hand(bucket: Bucket, stores: Pair, tmp_path: Path) -> None:
    """Direction is judged by epoch: where the old side's marker is the newest, nothing is copied."""
    put_apart(bucket, stores, {"east": ["only in east"]})
    person, kind = Typist(tmp_path), component(bucket)
    did = person.type(step_of(kind, Verb.FOLLOW, *BACK).spec.by_hand)
    assert did.returncode != 0 and "west is not the primary" in did.stderr
    assert bucket.keys("west") == set()


@pytest.mark.lab
def test_nothing_is_settled_while_a_side_is_silent(bucket: Bucket, stores: Pair, tmp_path: Path) -> None:
    """A store that does not answer has not "nothing": no check passes, nothing is kept or copied as if it were missing."""
    bucket.put("east", "a")
    poll(lambda: "a" in bucket.keys("west"), "the object to arrive")
    west_leads(bucket)
    person, kind = Typist(tmp_path), component(bucket)
    stores.kill("west")
    for verb in (Verb.PRESERVE, Verb.FOLLOW):
        did = person.type(step_of(kind, verb, *BACK).spec.by_hand)
        assert did.returncode != 0 and "curl" in did.stderr
    assert person.type(step_of(kind, Verb.PRESERVE, *BACK).spec.check_by_hand).returncode != 0
    assert not (person.folder / "logs-kept" / "index").exists()


@pytest.mark.lab
def test_a_planned_move_brings_to_the_target_alone(bucket: Bucket, stores: Pair, tmp_path: Path) -> None:
    """What the source has is in the target when the drain's check passes; what only the target has stays where it is."""
    put_apart(bucket, stores, {"east": list(ODD), "west": ["only in west"]})
    person, kind = Typist(tmp_path), component(bucket)
    spec = step_of(kind, Verb.DRAIN, Intent.SWITCHOVER, "east", "west").spec
    did, checked = person.type(spec.by_hand), person.type(spec.check_by_hand)
    assert (did.returncode, checked.returncode) == (0, 0), f"{did.stdout}{did.stderr}\n{checked.stdout}{checked.stderr}"
    assert bucket.keys("west") == {*ODD, "only in west"} and bucket.keys("east") == set(ODD)


PAGES = {
    "": """<?xml version="1.0"?>
<ListBucketResult><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType><StartAfter></StartAfter>
 <Contents><Key>a+b%2Bc/d*~&amp;e</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;aa-2&quot;</ETag><Size>7</Size>
  <Owner><ID>x</ID></Owner></Contents>
 <Contents><Key>m=1:2</Key><LastModified>2026-01-01T00:00:01.000Z</LastModified><ETag>"bb"</ETag><Size>0</Size></Contents>
</ListBucketResult>""",
    "&start-after=m%3D1%3A2": """<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType><Contents><Key>n</Key>
<ETag>cc</ETag><Size>1</Size><LastModified>2026-01-01T00:00:02Z</LastModified></Contents></ListBucketResult>""",
}  # fmt: skip
"""Listings as stores of different makes write them, by what the question for them ends with."""


def test_listings_of_other_makes_are_read(tmp_path: Path) -> None:
    """A blank as a plus, entities of three kinds, fields in any order, lines broken or not: the same keys, as a signature wants them."""
    by_hand = offline(tmp_path, "east", "west", {f"list-type=2{end}": text for end, text in PAGES.items()})
    done = typed(tmp_path, by_hand.account("west").do)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "logs-west.keys").read_text().splitlines() == [
        "a%20b%2Bc/d%2A~%26e aa-2 7 2026-01-01T00:00:00.000Z", "m%3D1%3A2 bb 0 2026-01-01T00:00:01.000Z", "n cc 1 2026-01-01T00:00:02Z",
    ]  # fmt: skip


def test_regions_have_dashes(tmp_path: Path) -> None:
    """The newest marker names the whole region, and the next epoch is the next one."""
    markers = "".join(f"<Contents><Key>.dr/primary/{number:010d}-{region}</Key></Contents>"
                      for number, region in ((9, "us-west-2"), (10, "us-east-1")))  # fmt: skip
    by_hand = offline(tmp_path, "us-east-1", "us-west-2", {"prefix=.dr%2Fprimary%2F": f"<ListBucketResult>{markers}</ListBucketResult>"})
    assert typed(tmp_path, by_hand.question("us-west-2").primary).stdout == "us-east-1\n"
    assert typed(tmp_path, by_hand.mark("us-west-2").do).returncode == 0
    assert "/logs/.dr/primary/0000000011-us-west-2\n" in (tmp_path / "asked").read_text()


def offline(folder: Path, one: str, other: str, answers: dict[str, str]) -> ByHand:
    """Commands whose ``curl`` answers by what a word ends with, and notes the words."""
    cases = "".join(f"    *{end!r}) cat <<'END'\n{text}\nEND\n    ;;\n" for end, text in answers.items())
    curl = folder / "curl"
    curl.write_text(f'#!/bin/bash\nfor word; do echo "$word" >> {folder}/asked\n  case $word in\n{cases}  esac\ndone\n')
    curl.chmod(0o755)
    regions = {region: {"endpoint_url": f"http://{region}.test", "bucket": "logs", "access_key": {"env": "ACCESS"},
                        "secret_key": {"env": "SECRET"}} for region in (one, other)}  # fmt: skip
    return ByHand("logs", S3Config.model_validate({"regions": regions}), folder)


def typed(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """With that ``curl``."""
    path = {"PATH": f"{folder}:/usr/bin:/bin", "ACCESS": "a", "SECRET": "s"}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=path, capture_output=True, text=True, check=False)
