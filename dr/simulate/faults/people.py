"""Faults of people and of their credentials: others type, too, the wrong thing is typed, somebody changes his mind, nobody is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from dr.model.events import RunStarted
from dr.model.runbook import Runbook
from dr.model.scenario import Act
from dr.model.words import Intent
from dr.providers.sim.process import Chance
from dr.providers.sim.weather import Mishap
from dr.providers.sim.world import Effect
from dr.simulate.colleagues import asked
from dr.simulate.faults.base import Fault, Values, after_effects, around, away, before, during, number, region_for, text
from dr.simulate.faults.calls import spell
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Struck

NOW = timedelta(0)


def _others(actors: tuple[str, ...], stage: Stage, struck: Struck) -> None:
    """Others give the command that the engineer gave, or will give, at the same time."""
    for actor in actors:
        _type_same(stage, struck, actor)


def _type_same(stage: Stage, struck: Struck, actor: str) -> None:
    given = next((item.act for item in reversed(stage.commands) if item.act.intent is not None), None)
    act = Act(at=NOW, intent=Intent.FAILOVER, to=away(stage), actor=actor, reason="I saw it, too") if given is None else given
    stage.type(act.model_copy(update={"actor": actor}), machine=text(struck, "machine"))


def _in_mid_run(strike: Callable[[Stage, Struck, Effect], None], stage: Stage, struck: Struck) -> None:
    """After some effects of a run."""
    after_effects(stage, int(number(struck, "effects")), lambda effect: strike(stage, struck, effect))


def _same_in_mid_run(stage: Stage, struck: Struck, _effect: Effect) -> None:
    _type_same(stage, struck, "second")


def _other_command(intent: Intent, stage: Stage, struck: Struck, _effect: Effect) -> None:
    """Somebody else wants something else."""
    to = None if intent in (Intent.FAILBACK, Intent.REPROTECT) else text(struck, "to")
    stage.type(Act(at=NOW, intent=intent, to=to, actor="second", reason="I know better"), machine=text(struck, "machine"))


def _wrong_region(stage: Stage, struck: Struck) -> None:
    """The region that has to be left is typed as the target."""
    act = Act(at=NOW, intent=Intent.FAILOVER, to=stage.runbook.home, actor="hasty", reason="region lost")
    stage.type(act, machine=text(struck, "machine"))


def _answer(command: str, reason: str, stage: Stage, struck: Struck, effect: Effect) -> None:
    """Somebody answers the run."""
    act = Act.model_validate({"at": NOW, "command": command, "actor": "lead", "reason": reason})
    stage.type(act, machine=text(struck, "machine"), run_id=effect.run_id)


def _skip(stage: Stage, struck: Struck, effect: Effect) -> None:
    """Somebody skips a step of the run: the one after which the run would have to wait longest, or any other one."""
    run = stage.disk.runs.get(effect.run_id)
    try:
        started = run.records[0].event if run is not None and run.records else None
    except ValueError:  # the journal is damaged: nobody sees a step to be skipped
        return
    steps = [step.id for step in started.plan.steps] if isinstance(started, RunStarted) else []
    if steps:
        step = steps[int(number(struck, "which") * len(steps))]
        stage.type(Act(at=NOW, skip=step, actor="lead", reason="we know"), machine=text(struck, "machine"), run_id=effect.run_id)


def _edited(stage: Stage, struck: Struck, _effect: Effect) -> None:
    stage.edited = f"{int(number(struck, 'digest')):064x}"
    stage.world.tell("somebody edits the runbook")


def _absent(stage: Stage, struck: Struck) -> None:
    """Nobody who could approve looks at the screen."""
    stage.nobody_until = max(stage.nobody_until, stage.loop.now + number(struck, "seconds"))
    stage.world.tell("nobody is there to approve")


def _there(stage: Stage, _struck: Struck) -> None:
    stage.nobody_until = 0.0


def _machine(chance: Chance, _runbook: Runbook) -> Values:
    return {"machine": chance.choice(("here", "elsewhere"))}


def _mid_run(chance: Chance, runbook: Runbook) -> Values:
    others = [name for name in runbook.regions if name != runbook.home]
    return {**_machine(chance, runbook), "effects": chance.randrange(1, 15), "to": chance.choice([runbook.home, *others]),
            "which": round(chance.random() * 0.999, 4)}  # fmt: skip


def _credentials(chance: Chance, runbook: Runbook) -> Values:
    return {**region_for(10.0, 400.0, home=0.4)(chance, runbook), "component": "", "share": 1.0, "effects": chance.randrange(1, 12)}


def _expired(stage: Stage, struck: Struck, _effect: Effect) -> None:
    spell(Mishap.EXPIRED, stage, struck)
    stage.world.tell(f"the credentials for {text(struck, 'region')} expire")


def _digest(chance: Chance, _runbook: Runbook) -> Values:
    return {"digest": chance.randrange(1, 1 << 32), "effects": chance.randrange(1, 6)}


FAULTS = (
    Fault("people-second-operator", Group.PEOPLE, "a second person gives the same command at the same time",
          partial(_others, ("second",)), values=_machine, when=during),
    Fault("people-three-operators", Group.PEOPLE, "two more people give the same command at the same time",
          partial(_others, ("second", "third")), values=_machine, when=around),
    Fault("people-same-command-in-mid-run", Group.PEOPLE, "a second person gives the same command in the middle of a run",
          partial(_in_mid_run, _same_in_mid_run), values=_mid_run, when=before),
    Fault("people-failback-during-failover", Group.PEOPLE, "somebody types failback in the middle of a run",
          partial(_in_mid_run, partial(_other_command, Intent.FAILBACK)), values=_mid_run, when=before),
    Fault("people-failover-during-run", Group.PEOPLE, "somebody types a failover, to some region, in the middle of a run",
          partial(_in_mid_run, partial(_other_command, Intent.FAILOVER)), values=_mid_run, when=before),
    Fault("people-switchover-during-run", Group.PEOPLE, "somebody types a switchover, to some region, in the middle of a run",
          partial(_in_mid_run, partial(_other_command, Intent.SWITCHOVER)), values=_mid_run, when=before),
    Fault("people-reprotect-during-run", Group.PEOPLE, "somebody types reprotect in the middle of a run",
          partial(_in_mid_run, partial(_other_command, Intent.REPROTECT)), values=_mid_run, when=before),
    Fault("people-wrong-region", Group.PEOPLE, "somebody types the region that has to be left as the target", _wrong_region,
          values=_machine, when=around),
    Fault("people-resume-a-held-run", Group.PEOPLE, "somebody resumes a run that another process holds",
          partial(_in_mid_run, partial(_answer, "resume", "")), values=_mid_run, when=before),
    Fault("people-pause", Group.PEOPLE, "somebody pauses the run", partial(_in_mid_run, partial(_answer, "pause", "let me see")),
          values=_mid_run, when=before),
    Fault("people-cancel", Group.PEOPLE, "somebody cancels the run", partial(_in_mid_run, partial(_answer, "cancel", "stop it")),
          values=_mid_run, when=before),
    Fault("people-skip", Group.PEOPLE, "somebody skips a step of the run", partial(_in_mid_run, _skip), values=_mid_run, when=before),
    Fault("people-approval-withdrawn", Group.PEOPLE, "who said yes says no in the middle of the run",
          partial(_in_mid_run, partial(_answer, "cancel", "my approval is withdrawn")), values=_mid_run, when=before),
    Fault("people-nobody-approves", Group.PEOPLE, "nobody is there to approve for a while", _absent, _there,
          lambda chance, _book: {"seconds": round(chance.uniform(30.0, 800.0), 3)}, before, asked),
    Fault("people-runbook-edited", Group.PEOPLE, "the runbook is edited in the middle of a run", partial(_in_mid_run, _edited),
          values=_digest, when=before),
    Fault("people-credentials-expire", Group.PEOPLE, "the credentials for a region expire in the middle of a run",
          partial(_in_mid_run, _expired), values=_credentials, when=before),
)  # fmt: skip
"""In the order in which people read them."""
