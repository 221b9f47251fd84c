"""A plan as a Markdown runbook for people: the command and the check for every step, for the day the tool is gone. Pure.

Made from the plan and nothing else, so that it says what the tool would do, in its order, with its guards. No moment, nothing observed and
no value of a credential is in it: the same runbook file gives the same text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dr.model.base import show_duration
from dr.model.by_hand import RECORD, Question, said_yes
from dr.model.outputs import CredentialPlace, RenderedStep, RenderReport
from dr.model.plan import Plan, StepSpec
from dr.model.runbook import Runbook
from dr.model.words import Intent, Verb

_PROGRAMS = ("psql", "curl", "dig", "nsupdate", "openssl", "jq", "aws", "kubectl", "ssh", "bao", "vault", "weed", "skopeo", "amtool")
"""Programs that commands of the kinds call on this side; what runs on the regions' hosts is there already."""

_ASKED = re.compile(r"\$\{(\w+):\?([^}]+)\}")
"""What only the person knows: a variable of the shell with the words that it refuses with."""

_PEOPLE = (Verb.APPROVAL, Verb.GATE)


@dataclass(frozen=True)
class Sheet:
    """What is rendered.

    questions: how to ask each component, in the order of the runbook. credentials: pairs of where it is used and where it lies.
    """

    runbook: Runbook
    plan: Plan
    questions: Sequence[Question]
    credentials: Sequence[tuple[str, str]]
    tool_version: str


def markdown(sheet: Sheet) -> str:
    """The whole runbook, ending with a newline."""
    parts = [_head(sheet), _place(sheet), _primary(sheet), _before(sheet), _steps(sheet), _after(sheet)]
    text = "\n".join(line for part in parts for line in (*part, ""))
    return re.sub(r"\n{3,}", "\n\n", text)


def fields(sheet: Sheet) -> RenderReport:
    """``dr.render/1``: the same page as fields, for who puts it somewhere else; the Markdown is among them."""
    runbook, plan = sheet.runbook, sheet.plan
    numbers, waves = {step.id: number for number, step in enumerate(plan.steps, 1)}, _waves(plan)
    return RenderReport(
        tool_version=sheet.tool_version, runbook=runbook.name, runbook_path=str(runbook.path), runbook_sha256=runbook.sha256,
        intent=plan.intent, from_region=plan.source, to_region=plan.target, rto_seconds=plan.rto.total_seconds(),
        rpo_seconds=plan.rpo.total_seconds(), predicted_rta_seconds=plan.predicted_rta.total_seconds(),
        credentials=tuple(CredentialPlace(use=use, place=place.replace("`", "")) for use, place in sheet.credentials),
        questions=tuple(sheet.questions), markdown=markdown(sheet),
        steps=tuple(
            RenderedStep(
                number=numbers[step.id], wave=waves[step.id], id=step.id, component=step.component, kind=step.kind, verb=step.verb,
                region=step.region, title=_line(step.title), after=tuple(_after_which(step, numbers)), irreversible=step.irreversible,
                optional=step.optional, estimate_seconds=step.estimate.total_seconds(), budget_seconds=step.budget.total_seconds(),
                conditions=tuple(_conditions(plan, step)), do=_do(step), check=_check(step),
            )
            for step in plan.steps
        ),
    )  # fmt: skip


def _head(sheet: Sheet) -> Iterator[str]:
    runbook, plan = sheet.runbook, sheet.plan
    way = f"{plan.source} follows {plan.target} again" if plan.intent is Intent.REPROTECT else f"from {plan.source} to {plan.target}"
    yield f"# {runbook.name}: {plan.intent} by hand, {way}"
    yield ""
    to = "" if plan.intent in (Intent.FAILBACK, Intent.REPROTECT) else f" --to {plan.target}"
    yield f"For the day `dr` is gone. If it is there, let it do this: `dr {plan.intent} {runbook.path}{to}`."
    yield f"Rendered by dr {sheet.tool_version} from `{runbook.path}`, SHA-256 `{runbook.sha256}`."
    yield "Render it again after every change of that file, and keep it where neither region has to be there to read it."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| regions | {', '.join(f'{name} (home)' if name == runbook.home else name for name in runbook.regions)} |"
    yield f"| service back within (RTO) | {show_duration(plan.rto)}; `dr` needs about {show_duration(plan.predicted_rta)} for it |"
    yield f"| data that may be lost (RPO) | {_objectives(runbook)} |"
    yield f"| who must agree | {_approvals(sheet)} |"


def _objectives(runbook: Runbook) -> str:
    own = [f"{name} {show_duration(item.rpo)}" for name, item in runbook.components.items() if item.rpo is not None]
    return show_duration(runbook.objectives.rpo) + (f"; {', '.join(own)}" if own else "")


def _approvals(sheet: Sheet) -> str:
    asked = [step for step in sheet.plan.steps if step.verb in _PEOPLE]
    if not asked:
        return "nobody beside you: this runbook asks for no approval"
    names = ", ".join(f"`{step.id}` ({_line(step.title)})" for step in asked)
    return f"{names}; whoever asks for the move does not approve it"


def _place(sheet: Sheet) -> Iterator[str]:
    folder = shlex.quote(sheet.runbook.name)
    text = "\n".join(f"{step.by_hand}\n{step.check_by_hand}" for step in sheet.plan.steps)
    programs = [name for name in _PROGRAMS if re.search(rf"(?<![\w./-]){name}(?= )", text)]
    yield "## Where you work"
    yield ""
    yield f"In `bash`, in a folder of your own; `{RECORD}` in it is your record (who said yes, what you accepted, what failed):"
    yield ""
    yield from _code(f'mkdir -p "$HOME/dr-by-hand"/{folder} && cd "$HOME/dr-by-hand"/{folder} && umask 077')
    if programs:
        yield f"Programs: {', '.join(f'`{name}`' for name in programs)}."
    if sheet.credentials:
        yield "Credentials are read where they lie; no command shows one:"
        yield ""
        yield from (f"* {use}: {place}" for use, place in sheet.credentials)
        yield ""
    if asked := dict(_ASKED.findall(text)):
        yield "Set these for the commands that name them (`export NAME=value`); a command refuses while one is missing:"
        yield ""
        yield from (f"* `{name}`: {why.removeprefix(f'set {name} to ')}" for name, why in asked.items())
        yield ""
    yield "Each step has a command and a check. **The check decides**: exit status 0 means done. A step whose check passes before you did"
    yield "anything is done already. Where it fails, give the command again (all can be repeated), then the check; do not go on without it."


def _primary(sheet: Sheet) -> Iterator[str]:
    yield "## Which region is the primary"
    yield ""
    yield "Observed, never looked up: ask each region. One that does not answer tells nothing; it may be writing still."
    for question in sheet.questions:
        yield ""
        yield f"**{question.component} in {question.region}** · {question.reads}"
        yield ""
        yield from _code(question.primary)


def _before(sheet: Sheet) -> Iterator[str]:
    plan = sheet.plan
    yield "## Before you go on"
    yield ""
    if plan.intent is Intent.REPROTECT:
        yield f"* {plan.target} takes the writes of every component that has a primary, and {plan.source} is to be overwritten."
        yield "  Not the other way round: the newest copy is never overwritten (compare timelines, not names)."
        yield f"* What only {plan.source} has (writes that were acknowledged there and never reached {plan.target}) is gone for good"
        yield "  after the step `follow`: it does not begin before `preserve` is checked."
        return
    if plan.intent is Intent.FAILOVER:
        yield f"* Promote only when {plan.source} **cannot write any more** (fenced: process gone and port refused), or when somebody"
        yield "  accepted in writing that it may (a recorded split). Silence is no fence. To record the split:"
        yield ""
        yield from _code(said_yes("split accepted").do)
        yield f"* **What is lost**: everything after the recovery point, read in {plan.target} from its own data:"
    else:
        yield f"* Both regions answer, {plan.source} is the primary of everything, and replication to {plan.target} is inside the RPO."
        yield f"* Nothing may be lost: {plan.target} is promoted only when it has everything that the stopped {plan.source} wrote."
        yield f"  If {plan.source} dies on the way, this is a failover: go on with that runbook."
        yield f"* How far {plan.target} is, read there:"
    for question in sheet.questions:
        if question.region == plan.target and question.recovery_point:
            yield ""
            yield f"**{question.component}** · RPO {show_duration(plan.component_rpo.get(question.component, plan.rpo))}"
            yield ""
            yield from _code(question.recovery_point)
    if plan.intent is Intent.FAILOVER:
        yield "Outage began − newest of these = what is lost. More than the RPO, or not known: somebody must accept it, in the record:"
        yield ""
        yield from _code(said_yes("data loss accepted").do)


def _steps(sheet: Sheet) -> Iterator[str]:
    plan = sheet.plan
    numbers = {step.id: number for number, step in enumerate(plan.steps, 1)}
    depth = _waves(plan)
    yield "## Steps"
    yield ""
    yield "A step may begin as soon as those that it comes after are checked. Steps of one wave may be done at the same time."
    yield "`!` cannot be undone."
    for wave in range(1, max(depth.values(), default=0) + 1):
        together = [step for step in plan.steps if depth[step.id] == wave]
        yield ""
        yield f"### Wave {wave}"
        for step in together:
            yield ""
            yield from _step(sheet, step, numbers)


def _waves(plan: Plan) -> dict[str, int]:
    """Step id → its wave, from 1."""
    depth: dict[str, int] = {}
    for step in plan.steps:  # in an order in which each comes after what it needs
        depth[step.id] = max((depth[need] + 1 for need in step.needs if need in depth), default=1)
    return depth


def _step(sheet: Sheet, step: StepSpec, numbers: dict[str, int]) -> Iterator[str]:
    after = _after_which(step, numbers)
    sign = "! " if step.irreversible else ""
    yield f"#### {numbers[step.id]}. {sign}{step.id} · {_line(step.title)}"
    yield ""
    where = f"In {step.region}" + (f", after {', '.join(str(number) for number in after)}" if after else "")
    yield f"{where}. {_times(sheet.plan, step)}"
    yield from (f"* {text}" for text in _conditions(sheet.plan, step))
    yield ""
    yield "Do:"
    yield ""
    yield from _code(_do(step))
    yield "Check:"
    yield ""
    yield from _code(_check(step))


def _after_which(step: StepSpec, numbers: dict[str, int]) -> list[int]:
    return sorted(numbers[need] for need in step.needs if need in numbers)


def _do(step: StepSpec) -> str:
    return step.by_hand or "# nobody wrote down how to do this by hand: see the documentation of the kind"


def _check(step: StepSpec) -> str:
    return step.check_by_hand or f"grep -F '{step.id} yes: ' {RECORD}  # nothing can be asked: look, and record who looked"


def _times(plan: Plan, step: StepSpec) -> str:
    when = plan.schedule.get(step.id)
    text = f"About {show_duration(step.estimate)}, at most {show_duration(step.budget)}"
    if when is None or when.latest_finish is None:
        return f"{text}; service does not wait for it."
    begin = "the freeze" if plan.intent.planned else "the outage began" if plan.intent is Intent.FAILOVER else "the start"
    return f"{text}; done by {show_duration(when.latest_finish)} after {begin}, or the RTO is missed."


def _conditions(plan: Plan, step: StepSpec) -> Iterator[str]:
    if step.verb is Verb.FENCE and plan.intent is Intent.FAILOVER:
        yield (
            f"**Only if** {step.region} can be reached (exit status 255: it cannot). Where the check does not pass, {step.region} may still"
            " write: go on only with a recorded split, and try again until it is fenced."
        )
    elif step.region == plan.source and plan.intent is Intent.FAILOVER:
        yield f"**Only if** {step.region} can be reached: it may be lost, and nothing waits for it."
    if step.verb is Verb.PROMOTE:
        fenced = f"{plan.source} is fenced" + (" or the split is recorded" if plan.intent is Intent.FAILOVER else " in order")
        lost = "the loss is inside the RPO or accepted" if plan.intent is Intent.FAILOVER else "nothing is lost"
        yield f"**Guard**: {fenced}; {lost}. This is the point of no return."
    elif step.irreversible:
        yield "**Guard**: it cannot be undone. Read the command once more before you give it."
    if step.verb in (Verb.START, Verb.CANARY):
        yield "**Only if** every check before it passed: a task that starts twice cannot be taken back."
    if step.verb is Verb.FOLLOW:
        yield f"**Only if** what {step.region} alone has was kept: this overwrites it."
    if step.verb in _PEOPLE:
        yield f"Ask somebody who did not ask for this move: {_line(step.title)} Set `WHO` to the name."
    if step.optional:
        yield "Best effort: where it fails, record it and go on; it is left to be done."


def _after(sheet: Sheet) -> Iterator[str]:
    plan, path = sheet.plan, sheet.runbook.path
    yield "## Afterwards: what is left to be done"
    yield ""
    if plan.intent is Intent.FAILOVER:
        yield f"1. **Fence {plan.source}**, again and again, until the check of its fence passes: it may come back writing."
        yield f"2. **Keep what only {plan.source} has** before anything overwrites it, then make it follow {plan.target}:"
        yield f"   `dr runbook render {path} --intent reprotect --to {plan.target}`."
        yield f"3. Until then nothing follows {plan.target}: a second loss is a loss of data. After it, home: `--intent failback`."
    elif plan.intent.planned:
        yield f"1. {plan.source} follows {plan.target}: the check of its `follow` passes. Until then nothing protects {plan.target}."
    else:
        yield f"1. {plan.source} follows. To go home when people are awake: `dr runbook render {path} --intent failback`."
    yield f"* Give `{RECORD}` to whoever writes the report; when `dr` is back, `dr status {path}` must name one primary and no debt."


def _code(text: str) -> Iterator[str]:
    yield "```sh"
    yield from text.splitlines()
    yield "```"
    yield ""


def _line(text: str) -> str:
    return " ".join(text.split())
