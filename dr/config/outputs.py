"""Everything that a command prints with ``--json``: its name with version, and the model that is its shape. Imports none of them.

A change that a reader would notice (a field gone, renamed or of another meaning) needs a new version; a new field does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dr.model.base import Json


class Output(NamedTuple):
    """Where the model stands, ``module:Class``, and which commands print it."""

    model: str
    commands: str


OUTPUTS: Mapping[str, Output] = {
    "dr.run/1": Output("dr.model.report:RunReport", "failover, switchover, failback, reprotect, resume, cancel, runs RUN"),
    "dr.drill/1": Output("dr.model.report:DrillReport", "drill"),
    "dr.simulate/1": Output("dr.model.simulation:SimulateReport", "simulate"),
    "dr.plan/1": Output("dr.model.status:PlanReport", "plan"),
    "dr.status/1": Output("dr.model.status:StatusReport", "status"),
    "dr.lag/1": Output("dr.model.status:LagReport", "lag"),
    "dr.runs/1": Output("dr.model.status:RunList", "runs"),
    "dr.check/1": Output("dr.model.status:CheckReport", "runbook check"),
    "dr.permissions/1": Output("dr.model.permission:PermissionsReport", "runbook permissions"),
    "dr.init/1": Output("dr.model.init:InitReport", "init aws"),
    "dr.render/1": Output("dr.model.outputs:RenderReport", "runbook render"),
    "dr.schema/1": Output("dr.model.outputs:SchemaReport", "runbook schema"),
    "dr.report/1": Output("dr.model.period:PeriodReport", "report"),
    "dr.monitor/1": Output("dr.model.outputs:MonitorReport", "monitor"),
    "dr.request/1": Output("dr.model.outputs:RequestReport", "pause, cancel, approve, skip"),
    "dr.lab.status/1": Output("dr.lab.lab:LabStatus", "lab status, lab up"),
    "dr.lab.down/1": Output("dr.lab.outputs:LabDown", "lab down"),
    "dr.lab.doctor/1": Output("dr.lab.outputs:LabDoctor", "lab doctor"),
    "dr.lab.fault/1": Output("dr.lab.outputs:LabFault", "lab fault …"),
    "dr.error/1": Output("dr.model.outputs:ErrorReport", "every command that ends with an error"),
}

FILES = ("runbook", "scenario")
"""What people write."""

NAMES = (*FILES, *OUTPUTS)


def schema_of(name: str) -> Json:
    """The JSON Schema of what people write, or of what is printed. Raises KeyError for a name that is neither."""
    from dr.config import schema

    if name in FILES:
        return schema.schema() if name == "runbook" else schema.scenario_schema()
    module, _, attribute = OUTPUTS[name].model.partition(":")
    return schema.output_schema(name, getattr(import_module(module), attribute))
