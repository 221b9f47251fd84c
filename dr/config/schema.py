"""JSON Schemas: of a runbook with every installed kind and of a scenario, for editors; of what commands print (``dr runbook schema``)."""

from __future__ import annotations

from pydantic import TypeAdapter

from dr.config.runbook import Kinds, RegisteredKinds
from dr.model.base import Frozen, Json
from dr.model.runbook import NAME, Component, KindConfig, Runbook
from dr.model.scenario import Scenario

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_REFS = "#/$defs/{model}"
_DURATION = {
    "type": "string",
    "pattern": r"^(?=.)(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?$",
    "description": "a duration such as 15m, 1h30m, 90s or 200ms",
}


def schema(kinds: Kinds | None = None) -> Json:
    """The schema; each component is told apart by its ``kind``."""
    table = kinds or RegisteredKinds()
    own = _model_schema(Runbook)
    definitions: dict[str, Json] = own.pop("$defs", {})
    for name in ("Component", "KindConfig"):
        definitions.pop(name, None)
    branches = []
    for kind in sorted(table.names()):
        config = _model_schema(table.config(kind))
        definitions |= config.pop("$defs", {})
        definitions[f"kind:{kind}"] = _component(kind, config)
        branches.append({"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/kind:{kind}"}})
    properties = own["properties"]
    for field in ("path", "base", "sha256"):
        properties.pop(field)
    properties["apiVersion"] = properties.pop("api_version") | {"title": "apiVersion"}
    properties["components"] = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": NAME},
        "additionalProperties": {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"enum": sorted(table.names())}},
            "allOf": branches,
        },
    }
    required = ["apiVersion", "name", "regions", "home", "objectives", "components"]
    return _durations({"$schema": _DRAFT, "title": "dr runbook", **own, "required": required, "$defs": definitions})


def scenario_schema() -> Json:
    """The schema of a scenario."""
    return _durations({"$schema": _DRAFT, "title": "dr scenario", **_model_schema(Scenario)})


def output_schema(name: str, model: type[Frozen]) -> Json:
    """The schema of what is printed: durations are seconds, moments are ISO 8601. What has a default may be missing in older records."""
    own = TypeAdapter(model).json_schema(mode="serialization", ref_template=_REFS)
    return {"$schema": _DRAFT, **own, "title": name, "required": ["schema", *own.get("required", [])]}


def _component(kind: str, config: Json) -> Json:
    common = _model_schema(Component)["properties"]
    properties = {"kind": {"const": kind}, "needs": common["needs"], "rpo": common["rpo"], **config.get("properties", {})}
    return {**config, "properties": properties, "required": ["kind", *config.get("required", [])], "additionalProperties": False}


def _model_schema(model: type[Runbook | Component | KindConfig | Scenario]) -> dict[str, Json]:
    return TypeAdapter(model).json_schema(mode="validation", ref_template=_REFS)


def _durations(node: Json) -> Json:
    """pydantic describes a duration as ISO 8601 (``PT15M``); people write ``15m``."""
    if isinstance(node, dict):
        if node.get("format") == "duration":
            return {key: value for key, value in node.items() if key not in ("format", "type")} | _DURATION
        return {key: _durations(value) for key, value in node.items()}
    return [_durations(item) for item in node] if isinstance(node, list) else node
