"""The list of the extra parts. A new part is one file and one line here."""

from __future__ import annotations

from dr.lab.extras.alerts import Alerts
from dr.lab.extras.extra import Extra
from dr.lab.extras.images import Images
from dr.lab.extras.logs import Logs
from dr.lab.extras.secrets import SecretStores
from dr.model.scenario import Workload

EXTRAS: tuple[Extra, ...] = (Alerts(), Images(), Logs(), SecretStores())


def of(workload: Workload) -> tuple[Extra, ...]:
    """Those that a workload asks for."""
    return tuple(extra for extra in EXTRAS if extra.name in workload.parts)
