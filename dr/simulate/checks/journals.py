"""I8, I9, I10, I15: what the journal keeps, in which order things are written and done, who may do them, and what must not stand there."""

from __future__ import annotations

import hashlib

from dr.model.events import GENESIS, Event, Resumed, RunStarted, StepEnded, UndoEnded, chain_hash
from dr.model.words import Verb
from dr.providers.sim.process import START
from dr.providers.sim.world import Effect
from dr.simulate.checks.witness import Rule, Told
from dr.simulate.disk import StoredRecord, StoredRun


class NothingLost(Rule):
    """I8: every record that was once on the disk is there in the end and after every death of a process, the same and in its place; and
    each is chained to the one before. What a fault did to the disk itself is not held against anybody, but no run whose records do not
    hold any more is taken over: damage is told, never reinterpreted.
    """

    name = "I8"

    def begun(self) -> None:
        """Nothing is written."""
        self._kept: dict[str, list[StoredRecord]] = {}
        self._dead = 0

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """One more."""
        kept = self._kept.setdefault(told.run_id, [])
        if self.witness.stage.disk.damages and isinstance(event, Resumed) and self._changed(told.run, kept):
            self.broken(f"run {told.run_id} was taken over although {self._changed(told.run, kept)}")
        kept.append(record)

    def effect(self, effect: Effect) -> None:
        """Looks at all of it when somebody has died."""
        dead = sum(process.dead for process in self.witness.stage.processes)
        if dead > self._dead:
            self._dead = dead
            self._compare()

    def over(self) -> None:
        """Everything, and every hash."""
        self._compare()
        for run_id, kept in self._kept.items():
            head = GENESIS
            for number, record in enumerate(kept, start=1):
                if record.seq != number or record.hash != chain_hash(head, run_id, record.seq, record.at, record.body):
                    self.broken(f"record {number} of run {run_id} is not chained to the one before it")
                    return
                head = record.hash

    def _compare(self) -> None:
        disk = self.witness.stage.disk
        if disk.damages:
            return
        for run_id, kept in self._kept.items():
            run = disk.runs.get(run_id)
            if run is None:
                self.broken(f"run {run_id} is gone, with {len(kept)} records")
            elif why := self._changed(run, kept):
                self.broken(f"run {run_id}: {why}")

    @staticmethod
    def _changed(run: StoredRun, kept: list[StoredRecord]) -> str:
        if run.records[: len(kept)] == kept:
            return ""
        if len(run.records) < len(kept):
            return f"{len(kept) - len(run.records)} records are gone"
        seq = next(record.seq for record, now in zip(kept, run.records, strict=False) if record != now)
        return f"record {seq} is another one now"


class ReadFirst(Rule):
    """I9, at every effect of a process: its intent is journaled (write ahead: else who resumes could not know of it); and an effect that
    must not be had twice is repeated only by an attempt that has read the component since it began, where an earlier attempt of the run
    was cut off or ended as unknown. Not to be had twice: promote, redirect, start, preserve, follow.
    """

    name = "I9"

    def effect(self, effect: Effect) -> None:
        """One effect."""
        if not effect.process:
            return
        told = self.witness.told.get(effect.run_id)
        if told is not None and told.torn:
            return
        if told is None or (effect.step not in told.attempts and effect.step not in told.under):
            self.broken(f"{effect.what} in {effect.region}: the journal of run {effect.run_id} does not say that {effect.step} has begun")
            return
        under, asked, spec = told.under.get(effect.step), self.witness.asked(effect), told.specs.get(effect.step)
        if under is None or asked is None or spec is None or spec.verb not in _NOT_TWICE or effect.process != under.process:
            return
        why = told.left.get(effect.step)
        if why and asked.at >= under.at - _NOISE and asked.informed < under.at - _NOISE:
            self.broken(f"{effect.what} in {effect.region} was repeated without a look at {effect.component}: {why}")


class OneHolder(Rule):
    """I10: an epoch has one holder and one run, epochs only grow, and only its holder ends what it began. An effect is had as of an epoch:
    its call was not sent after a newer epoch had been taken.

    Exactly: the moment of sending counts. A call that was under way when the lease was taken over may still arrive; no store of today
    refuses it (cloud APIs carry no fencing token), which is why promotions are conditional (I5).
    """

    name = "I10"

    def begun(self) -> None:
        """Nobody holds anything."""
        self._taken: dict[int, tuple[str, float]] = {}
        self._newest = 0

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """Who says that it holds the run."""
        if isinstance(event, (RunStarted, Resumed)) and event.epoch:
            at = told.moment(told.events[-1][0])
            who = f"{event.holder} for run {told.run_id}"
            before = self._taken.setdefault(event.epoch, (who, at))
            if before[0] != who:
                self.broken(f"epoch {event.epoch} is held by {before[0]}, and by {who}")
        elif isinstance(event, (StepEnded, UndoEnded)) and event.step in told.ended_by_others and not told.torn:
            self.broken(f"the end of {event.step} was journaled in run {told.run_id} by somebody who had not begun it")

    def effect(self, effect: Effect) -> None:
        """Was its call sent by a holder?"""
        row = self.witness.stage.disk.leases.get(self.witness.stage.runbook.name)
        if row is not None:
            process = row.process
            at = ((row.since - START).total_seconds() - process.skew) / process.rate
            self._taken.setdefault(row.epoch, (f"{row.holder} for run {row.run_id}", at))
            if row.epoch < self._newest:
                self.broken(f"epoch {row.epoch} was taken after epoch {self._newest}")
            self._newest = max(self._newest, row.epoch)
        asked = self.witness.asked(effect) if effect.process else None
        newer = [at for epoch, (_, at) in self._taken.items() if epoch > effect.epoch]
        if asked is not None and newer and asked.at > min(newer) + _NOISE:
            self.broken(f"{effect.what} in {effect.region} was sent by {effect.process} as of epoch {effect.epoch}, a newer one was taken")


class NoSecret(Rule):
    """I15: no value of the world's secrets stands in any journal record or in what a command answers, nor a bare hash of one."""

    name = "I15"

    def begun(self) -> None:
        """One is planted, if nobody did."""
        secrets = self.witness.stage.world.secrets
        if not secrets:
            secrets.append(f"hunter2-{self.witness.stage.seed}-xyzzy")

    def _words(self) -> list[str]:
        found = []
        for value in self.witness.stage.world.secrets:
            raw = value.encode()
            hashes = (hashlib.sha256(raw), hashlib.sha1(raw), hashlib.md5(raw))  # noqa: S324 - what a careless hand would write
            found += [value, *(item.hexdigest() for item in hashes)]
        return found

    def over(self) -> None:
        """Reads everything."""
        words = self._words()
        for told in self.witness.told.values():
            for record in told.run.records:
                if any(word in record.body for word in words):
                    self.broken(f"record {record.seq} of run {told.run_id} holds a secret")
                    return
        for command in self.witness.stage.commands:
            error = command.error
            if error is not None and any(word in f"{error} {error.hint}" for word in words):
                self.broken(f"{command.process.name} was told a secret by {type(error).__name__}")


_NOT_TWICE = (Verb.PROMOTE, Verb.REDIRECT, Verb.START, Verb.PRESERVE, Verb.FOLLOW)
_NOISE = 1e-4
"""Seconds: moments are journaled in whole microseconds of clocks that may run at another rate."""
