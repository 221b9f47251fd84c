"""What tests of AWS kinds share: a Site with two regions that lead to the emulator (or to stubs), attempts of steps, what a chain declares.

``secrets = rig.make(SecretsManager, "secrets", {…})`` · ``rig.run(secrets, Intent.FAILOVER)`` performs the chain in order ·
``rig.undeclared(steps, made)`` names calls that no step declared. ``emulator`` and ``rig`` are fixtures in ``conftest.py``.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from botocore.stub import Stubber

from dr.model.evidence import Evidence
from dr.model.plan import Acceptance
from dr.model.runbook import AwsRegion, Region, SecretRef
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Clock, Kind, Seen, Site, Step
from dr.providers.aws.hub import Aws
from dr.providers.aws.kind import AwsKind, used
from dr.providers.system import SystemClock
from dr.store.samples import SqliteSamples
from tests.attempt import perform
from tests.aws.emulator import ACCOUNT, Emulator, Made

CODES = {"east": "us-east-1", "west": "us-west-2"}
"""The regions of every test's runbook: ``Emulator(tuple(CODES.values()))``."""
NOWHERE = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}

K = TypeVar("K", bound=AwsKind[Any, Any])


class KeyedSecrets:
    """Credentials of a test, and keyed digests as in production."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def get(self, ref: SecretRef) -> str:
        return self.values[ref.env or ref.file or ""]

    def digest(self, value: str) -> str:
        return hmac.new(b"key of this test", value.encode(), hashlib.sha256).hexdigest()


class Rig:
    """One platform. Without an emulator its clients have credentials that nobody takes: answer them with ``stub``.

    Sets this process's AWS variables; each rig sets them all anew.
    """

    def __init__(self, folder: Path, emulator: Emulator | None = None, *, clock: Clock | None = None, **secrets: str) -> None:
        os.environ.update(NOWHERE if emulator is None else emulator.environment())
        self.clock = clock or SystemClock()
        self.peers: dict[str, Kind] = {}
        self._stubs: dict[int, Stubber] = {}
        account = ACCOUNT if emulator is not None else None
        regions = {
            name: Region(aws=AwsRegion(region=code, profile=code if emulator is not None else None, account=account))
            for name, code in CODES.items()
        }
        self.site = Site(
            runbook="test", regions=regions, hosts={}, clock=self.clock, secrets=KeyedSecrets(secrets),
            samples=SqliteSamples(folder / "state"), artefacts=folder / "artefacts", base=folder, peers=self.peers,
        )  # fmt: skip
        self.aws = Aws.of(self.site)
        self.evidence: list[Evidence] = []
        self.acceptances: tuple[Acceptance, ...] = ()

    def make(self, kind: type[K], name: str, settings: Mapping[str, object], needs: Sequence[str] = ()) -> K:
        """A component with these settings, known to the others."""
        made = kind(name, kind.Config.model_validate(settings), needs, self.site)
        self.peers[name] = made
        return made

    def stub(self, region: str, service: str, *, act: bool = False, home: str = "") -> Stubber:
        """Answers in place of AWS, in order, for the client of reads or of acts; checks parameters against the service's model."""
        client = self.aws.clients.of(self.aws.place(region), service, act=act, home=home)
        stubber = self._stubs.setdefault(id(client), Stubber(client))
        stubber.activate()
        return stubber

    def context(self, step: Step, intent: Intent, source: str = "east", target: str = "west", seconds: float = 20.0) -> AttemptContext:
        """One attempt of a step, with all evidence so far."""
        return AttemptContext(
            run_id="run-1", step=step.spec, intent=intent, source=source, target=target, number=1, key="run-1/key", epoch=1, actor="test",
            clock=self.clock, deadline=self.clock.monotonic() + seconds, evidence=tuple(self.evidence), acceptances=self.acceptances,
        )  # fmt: skip

    def step(self, kind: Kind, intent: Intent, verb: Verb | str, source: str = "east", target: str = "west") -> Step:
        """The step of a chain with this name (its verb, where it has no other)."""
        return {step.spec.id.partition("/")[2]: step for step in kind.steps(intent, source, target)}[str(verb)]

    def perform(self, step: Step, intent: Intent, source: str = "east", target: str = "west", **changes: Any) -> Seen:
        """One attempt; what it found is evidence for those after it."""
        seen, found = perform(step, replace(self.context(step, intent, source, target), **changes))
        self.evidence += found
        return seen

    def run(self, kind: Kind, intent: Intent, source: str = "east", target: str = "west") -> list[Seen]:
        """A whole chain in order, one attempt each."""
        return [self.perform(step, intent, source, target) for step in kind.steps(intent, source, target)]

    def undeclared(self, steps: Iterable[Step], made: Iterable[Made]) -> set[str]:
        """``region action`` of each call that no step's uses name; empty: the policy made from them would have been enough."""
        uses = [use for step in steps for use in used(step)]
        allowed = {(use.call.home or CODES.get(use.region, use.region), action) for use in uses for action in use.call.iam}
        allowed |= {(code, "sts:GetCallerIdentity") for code in CODES.values()}  # needs no permission
        return {f"{call.region} {name}" for call in made for name in call.actions if (call.region, name) not in allowed}

    def close(self) -> None:
        """Closes connections."""
        self.aws.close()
