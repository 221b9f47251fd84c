"""What a person types instead of each step, and to see that it is done: ``psql`` on every database, ``curl`` to the runtimes.

Complete and copied as it is: databases and hostnames are read from the platform's own list while it runs. The token is read from where the
runbook says, into a header that stands on no command line.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from dr.model.by_hand import MARK, Question, Typed
from dr.providers import shell
from dr.providers.airflow import statements
from dr.providers.airflow.config import DeploymentsConfig, Retryable
from dr.providers.airflow.control import SCHEDULER
from dr.providers.airflow.fleet import Fleet
from dr.providers.airflow.names import NameServers

_BEFORE, _AFTER = "deployments-before.txt", "deployments-after.txt"
_TRIES = 30
_NO_SERVER = "psql -X -qAt -v ON_ERROR_STOP=1 -h DATABASE_SERVER_IN_{region} -d {database}"
_STARTED_ONCE = ("running", "queued", "restarting", "up_for_retry")


@runtime_checkable
class TypedDatabases(Protocol):
    """What this package asks of the component that ``database`` names, for people."""

    def psql(self, region: str, database: str | None = None) -> str:
        """``psql`` to a database of a region's server, ready for ``-c``. ``database``: one word of the shell; None: the component's own."""


class ByHand:
    """The commands of one component in one region.

    Args:
        planned: nothing is lost: what is ``scheduled`` has not started anywhere.
    """

    def __init__(self, fleet: Fleet, region: str, *, planned: bool) -> None:
        self._fleet, self._region, self._planned = fleet, region, planned
        self._config: DeploymentsConfig = fleet.config
        self._endpoint = fleet.config.regions[region]
        self._authority = shell.absolute(fleet.site.base, fleet.config.certificate_authority)

    def question(self) -> Question:
        """What the region's runtime says of its databases."""
        found = """grep -o '"database":"[a-z-]*"' | sort -u"""
        return Question(
            component=self._fleet.name, region=self._region, primary=f"{self._asked()} | {found}",
            reads="`writable`: the Deployments work on a primary there; `read-only`: on a secondary",
        )  # fmt: skip

    def platform(self) -> str:
        """``psql`` to the platform's database."""
        return self._psql()

    def typed(self, name: str) -> Typed:
        """The commands of one sort of step (see ``chain.SORTS``)."""
        return _SORTS[name](self)

    def prepare(self) -> Typed:
        """No old freeze is left."""
        return Typed(self._call("/thaw", {}), self._without('"frozen":true'))

    def snapshot(self) -> Typed:
        """Who the Deployments are and what their databases name, without what environments, connections and variables hold."""
        return Typed(self._kept(_BEFORE), f"test -s {_BEFORE} && cat {_BEFORE}")

    def fingerprint(self) -> Typed:
        """The same Deployments as before, where somebody kept who they were."""
        return Typed(self._kept(_AFTER), f"test -s {_AFTER} && if [ -e {_BEFORE} ]; then diff {_BEFORE} {_AFTER}; fi")

    def lock(self) -> Typed:
        """Deploys are refused."""
        owner = f"{self._fleet.site.runbook}/{MARK}"
        lasts = round(self._config.lock_expires.total_seconds())
        order = {"owner": owner, "reason": "moved by hand", "expires_seconds": lasts}
        return Typed(self._call("/lock", order), self._with(f'"owner":"{owner}"'))

    def unlock(self) -> Typed:
        """No lock of this runbook is left."""
        runbook = self._fleet.site.runbook
        return Typed(self._call("/unlock", {"owner": runbook}), self._without(f'"owner":"{runbook}(/|")'))

    def freeze(self) -> Typed:
        """Paused first: that is not seen outside."""
        do = f"{self._each(statements.HOLD)} &&\n{self._call('/freeze', {})}"
        return Typed(do, self._without('"frozen":false'))

    def drain(self) -> Typed:
        """Tasks may end, as long as the runbook allows; then no scheduler runs."""
        stop, check = self._call("/stop", {"component": SCHEDULER}), self._without('"scheduler":"running"')
        wait = round(self._config.drain.total_seconds())
        if not wait:
            return Typed(stop, check)
        idle = shell.until(self._without('"tasks_running":[1-9]'), wait)
        return Typed(f"{idle} || echo 'tasks still run: they get their fate in the target'\n{stop}", check)

    def quiesce(self) -> Typed:
        """Frozen, and no scheduler runs."""
        do = f"{self._call('/freeze', {})} &&\n{self._call('/stop', {'component': SCHEDULER})}"
        return Typed(do, self._without('"scheduler":"running"|"frozen":false'))

    def stand_by(self) -> Typed:
        """The runtime found its databases again, by itself."""
        return Typed(shell.until(self._without('"database":"(writable|unreachable)"'), _TRIES), self._with('"database":"read-only"'))

    def hold(self) -> Typed:
        """DAGs are paused, and which were active is recorded beside them."""
        return Typed(self._each(statements.HOLD), self._none(statements.ACTIVE))

    def reconcile(self) -> Typed:
        """Each task in flight gets its fate, recorded beside it."""
        return Typed(self._each(self._decided()), self._none(statements.UNDECIDED))

    def start(self) -> Typed:
        """Every Deployment has a scheduler whose heart beats."""
        do = f"{self._call('/thaw', {})} &&\n{self._call('/start', {'component': SCHEDULER})}"
        running = self._without('"scheduler":"stopped"')
        return Typed(do, f"{running} &&\n{shell.until(self._none(statements.NOT_SCHEDULED), _TRIES)}")

    def canary(self) -> Typed:
        """A small DAG run succeeds everywhere."""
        return Typed(self._each(statements.CANARY), shell.until(self._none(statements.CANARY_WAITS), _TRIES))

    def release(self) -> Typed:
        """The DAGs that were paused by hand are active again."""
        return Typed(self._each(statements.RELEASE), self._none(statements.NOT_RELEASED))

    def verify_inside(self) -> Typed:
        """Each API takes a write, asked by address under its own name."""
        return self._writes(statements.APIS, "in", "", f'--connect-to "::{self._endpoint.address}:"')

    def verify_outside(self) -> Typed:
        """Each public name leads here and takes a write."""
        address = self._endpoint.address
        wrong = '{ echo "$name leads to $address"; exit 1; }'
        lead = f'address=$({self._look_up()}) && [ "$address" = {address} ] || {wrong}\n'
        return self._writes(statements.NAMES, "out", lead, f'--resolve "$name:{self._endpoint.port}:$address"')

    def _writes(self, names: str, way: str, lead: str, route: str) -> Typed:
        """A write through each name, answered by this region, and the same names asked for what they have."""
        curl = f"curl -sS --max-time 10 --retry 5 --retry-connrefused --cacert {self._authority} {route}"
        url, mark = f"https://$name:{self._endpoint.port}", f"{MARK}-{self._region}-{way}"
        body = f"""-d '{{"id": "{mark}-'"$(date +%s)-$RANDOM"'", "kind": "check"}}'"""
        write = f"""{lead}{curl} {body} "{url}/write" | grep '"region": *"{self._region}"' || {{ echo "$name refused"; exit 1; }}"""
        read = f"""{lead}{curl} "{url}/writes?kind=check" | grep -q '"{mark}-' || {{ echo "$name lost it"; exit 1; }}"""
        listed = f"{self._psql()} -c {shlex.quote(names)}"
        return Typed(shell.every(listed, "name", write), shell.every(listed, "name", read))

    def _look_up(self) -> str:
        """The address of ``$name``, from this region's own name server where the runbook has one."""
        for peer in self._fleet.site.peers.values():
            if isinstance(peer, NameServers) and self._region in (servers := peer.name_servers()):
                address, port = servers[self._region]
                return f'dig +short +time=3 @{address} -p {port} "$name" A'
        return 'dig +short +time=3 "$name" A'

    def _decided(self) -> str:
        policy = self._config.tasks
        final = "try_number > max_tries" if policy.retryable is Retryable.REQUEUE else "true"
        once = _STARTED_ONCE if self._planned else (*_STARTED_ONCE, "scheduled")
        words = {
            "pool": policy.pool, "final": final, "once_states": ", ".join(f"'{state}'" for state in once),
            "at_most_once": "CASE WHEN state = 'scheduled' THEN 'untouched' ELSE 'failed' END" if self._planned else "'failed'",
        }  # fmt: skip
        return _replaced(statements.RECONCILE, words)

    def _psql(self, database: str | None = None) -> str:
        """``psql`` to a database of the region's server; to the platform's own when none is named."""
        peer = self._fleet.site.peers.get(self._config.database)
        if isinstance(peer, TypedDatabases):
            return peer.psql(self._region, database)
        return _NO_SERVER.format(region=self._region.upper(), database=database or "PLATFORM_DATABASE")

    def _each(self, statement: str) -> str:
        """Statements for every Deployment's database, each database in one transaction."""
        return self._everywhere("-1 -f - <<'SQL' || { echo \"failed in $database\"; exit 1; }", statement)

    def _none(self, statement: str) -> str:
        """A question with a number as answer that must be 0 in every Deployment's database."""
        return self._everywhere("-f - <<'SQL' | grep -qx 0 || { echo \"not so in $database\"; exit 1; }", f"{statement};")

    def _everywhere(self, options: str, statement: str) -> str:
        text = _replaced(statement, {"owed": statements.OWED, "canary": self._config.canary, "mark": MARK})
        psql = self._psql('"$database"')
        body = f"{psql} {options}\n{text}\nSQL"
        return shell.every(f"{self._psql()} -c '{statements.DATABASES}'", "database", body)

    def _kept(self, file: str) -> str:
        """The list of Deployments, then what each of their databases names, in a file."""
        listed = f"{self._psql()} -c '{statements.LISTED}'"
        named = self._everywhere("-f - <<'SQL' || { echo \"failed in $database\" >&2; exit 1; }", statements.CONTENTS)
        return f"{listed} > {file} &&\n{named} >> {file}"

    def _call(self, path: str, body: Mapping[str, object] | None = None) -> str:
        """A call to the region's control API; prints the answer, fails where that is no success."""
        token = shell.secret(self._fleet.site.base, self._config.control_token)
        words = ["curl -sS --fail-with-body --max-time 30", f"--cacert {self._authority}"]
        words.append(f"-H @<(printf 'Authorization: Bearer %s' {token})")
        if body is not None:
            words.append(f"-d {shlex.quote(json.dumps(body))}")
        return " ".join([*words, self._endpoint.control.rstrip("/") + path])

    def _asked(self) -> str:
        """The status, without the blanks that one runtime writes and another one does not."""
        return f"{self._call('/status')} | tr -d ' \\n'"

    def _with(self, pattern: str) -> str:
        return f"{self._asked()} | grep -E {shlex.quote(pattern)}"

    def _without(self, pattern: str) -> str:
        """Fails without an answer, too: nothing then has no such line."""
        return f"{self._asked()} | grep -Ev {shlex.quote(pattern)}"


def _replaced(text: str, words: Mapping[str, str]) -> str:
    """Only these names; SQL has braces of its own."""
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", value)
    return text


_SORTS: Mapping[str, Callable[[ByHand], Typed]] = {
    "prepare": ByHand.prepare, "snapshot": ByHand.snapshot, "lock": ByHand.lock, "unlock": ByHand.unlock, "freeze": ByHand.freeze,
    "drain": ByHand.drain, "quiesce": ByHand.quiesce, "stand-by": ByHand.stand_by, "hold": ByHand.hold, "reconcile": ByHand.reconcile,
    "start": ByHand.start, "canary": ByHand.canary, "release": ByHand.release, "fingerprint": ByHand.fingerprint,
    "verify-inside": ByHand.verify_inside, "verify-outside": ByHand.verify_outside,
}  # fmt: skip
"""By the names of ``chain.SORTS``."""
