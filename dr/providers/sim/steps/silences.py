"""Simulated silences: the same claims and evidence as ``selfhosted.alerts``. Only the target's Alertmanager counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dr.errors import EffectUnknown, StepError, Transient
from dr.model.evidence import Evidence, Note, PutBack, Temporary
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.silences import Silences
from dr.providers.sim.steps.base import SimStep, T


class _Step(SimStep[Silences]):
    """Asks every region at once: one that is lost delays nobody by more than its own time."""

    def everywhere(self, ask: Callable[[str], T]) -> dict[str, T | StepError]:
        """What each region answered. Never raises."""

        def one(region: str) -> T | StepError:
            try:
                return ask(region)
            except (Transient, EffectUnknown) as error:
                return error

        jobs = [lambda region=region: one(region) for region in self.store.regions]
        answers = self.place.process.threads.gather(jobs, "alerts")
        return dict(zip(self.store.regions, answers, strict=True))

    def required(self, found: Mapping[str, T | StepError]) -> T | None:
        """What the target's answered; None where it has none. Raises what went wrong there."""
        answer = found.get(self.target)
        if isinstance(answer, StepError):
            raise answer
        return answer

    def active(self) -> dict[str, dict[str, float] | StepError]:
        """The silences of each region."""

        def ask(region: str) -> dict[str, float]:
            self.store.there(region)
            return self.store.active(region)

        return self.everywhere(lambda region: self.read(region, "silences", lambda: ask(region)))

    def ended(self, context: AttemptContext) -> dict[str, int | StepError]:
        """Ends all, wherever somebody answers."""
        return self.everywhere(lambda region: self.do(context, region, "unsilence", lambda: self.store.end(region)))


class MakeSilence(_Step):
    """Every Alertmanager that answers is silent until the end of the run, or the expiry."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where the target's has a silence of this run."""
        return self.verify(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One silence in each region that has none of this run yet."""
        made = self.everywhere(
            lambda region: self.do(context, region, "silence", lambda: self.store.silence(region, context.run_id))
        )
        self.required(made)
        return tuple(Note(text=f"not silenced, not waited for: {error.message}") for error in made.values() if isinstance(error, StepError))

    def verify(self, context: AttemptContext) -> Seen:
        """The target's names it."""
        found = self.active()
        mine = self.required(found)
        if mine is not None and context.run_id not in mine:
            return Seen(Look.NEEDED, f"alerts ring in {self.target}")
        facts = tuple(self._facts(context, found))
        if not facts:
            return Seen(Look.NEEDED, "no Alertmanager is silent")
        return Seen(Look.DONE, f"silent in {', '.join(fact.region for fact in facts)}", facts)

    def undo(self, context: AttemptContext) -> None:
        """Ends them where there is an answer; one that does not answer ends by itself."""
        for problem in self.ended(context).values():
            if isinstance(problem, StepError):
                context.say(f"ends by itself: {problem.message}")

    def _facts(self, context: AttemptContext, found: Mapping[str, dict[str, float] | StepError]) -> Iterator[Temporary]:
        for region, silences in found.items():
            if not isinstance(silences, StepError) and context.run_id in silences:
                yield Temporary(
                    component=self.component, region=region, what=f"alerts in {region}",
                    text=f"alerts of {self.place.site.runbook} are silenced in {region}", until=self.moment(silences[context.run_id]),
                    by_hand=context.step.by_hand,
                )  # fmt: skip


class EndSilence(_Step):
    """Alerts ring again: no silence of this runbook is left where there is an answer."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Ends them, and those that an earlier run left."""
        ended = self.ended(context)
        self.required(ended)
        facts: list[Evidence] = []
        for region, number in ended.items():
            if isinstance(number, StepError):
                facts.append(Note(text=f"not asked to ring again, ends by itself: {number.message}"))
            else:
                text = f"{number} silences expired"
                facts.append(PutBack(component=self.component, region=region, what=f"alerts in {region}", text=text))
        return tuple(facts)

    def verify(self, context: AttemptContext) -> Seen:
        """The target's names none."""
        left = self.required(self.active())
        return Seen(Look.NEEDED, f"alerts are still silenced in {self.target}") if left else Seen(Look.DONE)


def operation(name: str, verb: Verb, intent: Intent) -> type[_Step]:
    """The operation of a step."""
    return MakeSilence if verb is Verb.SILENCE else EndSilence
