"""CloudWatch metrics as tests set them, or as the emulated services compute them.

Why not moto's: it accepts any number of queries, and scans every datum for each; a metric whose value stands needs no data points here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from tests.aws.emulator.registry import control, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

QUERIES_A_CALL = 500
Key = tuple[str, str, str, tuple[tuple[str, str], ...]]
_series: dict[Key, float | dict[float, float]] = {}
_units: dict[Key, str] = {}
COMPUTED: list[Callable[[str, str, str, dict[str, str]], float | None]] = []


@control
def set_metric(region: str, namespace: str, name: str, dimensions: dict[str, str], samples: Any, unit: str) -> None:
    """Samples by their moment (seconds since 1970), or one number that holds at every minute; an empty table: no data."""
    key = (region, namespace, name, tuple(sorted(dimensions.items())))
    _series[key] = float(samples) if isinstance(samples, int | float) else {float(at): float(value) for at, value in samples.items()}
    _units[key] = unit


def samples_of(key: Key, start: datetime, end: datetime, period: int) -> dict[datetime, list[float]]:
    """The samples of each period that begins in [start, end), oldest first."""
    region, namespace, name, dimensions = key
    known = _series.get(key)
    if known is None:
        for compute in COMPUTED:
            if (value := compute(region, namespace, name, dict(dimensions))) is not None:
                known = value
    first = datetime.fromtimestamp(start.timestamp() // period * period, UTC)
    if isinstance(known, float):
        steps = range(int((min(end, datetime.now(UTC)) - first).total_seconds() // period) + 1)
        moments = [first + timedelta(seconds=period * step) for step in steps]
        return {moment: [known] for moment in moments if moment < end}
    found: dict[datetime, list[float]] = {}
    if known is None:
        data = [(item.timestamp.replace(tzinfo=UTC).timestamp(), float(item.value)) for item in _moto(key)]
    else:
        data = list(known.items())
    for at, value in sorted(data):
        if start.timestamp() <= at < end.timestamp():
            found.setdefault(datetime.fromtimestamp(at // period * period, UTC), []).append(value)
    return found


def _moto(key: Key) -> list[Any]:
    region, namespace, name, dimensions = key
    items = cloudwatch_backends[ACCOUNT][region].metric_data
    wanted = sorted(dimensions)
    return [
        item for item in items
        if item.namespace == namespace and item.name == name and sorted((one.name, one.value) for one in item.dimensions) == wanted
        and hasattr(item, "value")
    ]  # fmt: skip


def statistic(name: str, values: list[float]) -> float:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html"""
    table: dict[str, Callable[[list[float]], float]] = {
        "Maximum": max, "Minimum": min, "Sum": sum,
        "SampleCount": lambda seen: float(len(seen)), "Average": lambda seen: sum(seen) / len(seen),
    }  # fmt: skip
    if name in table:
        return table[name](values)
    if name.startswith("p") and name[1:].replace(".", "").isdigit():
        return sorted(values)[min(len(values) - 1, int(len(values) * float(name[1:]) / 100))]
    raise Refusal("ValidationError", f"The value {name} for parameter Stat is not supported.", 400)


def _moment(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _key(region: str, metric: dict[str, Any]) -> Key:
    dimensions = tuple(sorted((one["Name"], one["Value"]) for one in metric.get("Dimensions", [])))
    return (region, metric["Namespace"], metric["MetricName"], dimensions)


@operation("cloudwatch:GetMetricData")
def get_metric_data(call: Call) -> dict[str, Any] | None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html: up to 500 queries a call."""
    queries = call.params.get("MetricDataQueries", [])
    start, end = _moment(call.params["StartTime"]), _moment(call.params["EndTime"])
    if len(queries) > QUERIES_A_CALL:
        raise Refusal("ValidationError", f"The collection MetricDataQueries must not have a size greater than {QUERIES_A_CALL}.", 400)
    if start >= end:
        raise Refusal("ValidationError", "The parameter EndTime must be greater than StartTime.", 400)
    if len({query["Id"] for query in queries}) != len(queries):
        raise Refusal("ValidationError", "The values for parameter Id in MetricDataQueries are not unique.", 400)
    if any("Expression" in query for query in queries):
        return None
    results = []
    for query in queries:
        stat = query["MetricStat"]
        found = samples_of(_key(call.region, stat["Metric"]), start, end, int(stat["Period"]))
        moments = sorted(found, reverse=call.params.get("ScanBy", "TimestampDescending") == "TimestampDescending")
        if query.get("ReturnData", True):
            values = [statistic(stat["Stat"], found[moment]) for moment in moments]
            label = query.get("Label", stat["Metric"]["MetricName"])
            results.append({"Id": query["Id"], "Label": label, "Timestamps": moments, "Values": values, "StatusCode": "Complete"})
    return {"MetricDataResults": results, "Messages": []}


@operation("cloudwatch:GetMetricStatistics")
def get_metric_statistics(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html"""
    params = call.params
    key = _key(call.region, params)
    found = samples_of(key, _moment(params["StartTime"]), _moment(params["EndTime"]), int(params["Period"]))
    points = [
        {"Timestamp": moment, "Unit": _units.get(key, "None"), **{name: statistic(name, values) for name in params.get("Statistics", [])}}
        for moment, values in found.items()
    ]
    return {"Label": params["MetricName"], "Datapoints": points}


@operation("cloudwatch:ListMetrics")
def list_metrics(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html"""
    wanted = {(one["Name"], one.get("Value")) for one in call.params.get("Dimensions", [])}
    keys = {key for key in _series if key[0] == call.region}
    for item in cloudwatch_backends[ACCOUNT][call.region].metric_data:
        keys.add((call.region, item.namespace, item.name, tuple(sorted((str(one.name), str(one.value)) for one in item.dimensions))))
    metrics = [
        {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions]}
        for _, namespace, name, dimensions in sorted(keys)
        if namespace == call.params.get("Namespace", namespace) and name == call.params.get("MetricName", name)
        and all((key, value) in dimensions or (value is None and key in dict(dimensions)) for key, value in wanted)
    ]  # fmt: skip
    return {"Metrics": metrics}
