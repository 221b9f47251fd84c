"""Tells a region's runtime what a drill does to it."""

from __future__ import annotations

import http.client
import json
from datetime import timedelta

from dr.errors import LabError
from dr.lab import credentials
from dr.lab.layout import CONTROL_PORT, Layout, RegionLayout
from dr.lab.platform.tls import client_context

_ANSWER_SECONDS = 5.0


def slow(layout: Layout, region: RegionLayout, by: timedelta) -> None:
    """The region's capacity comes late: no Deployment takes a write there before ``by`` has passed since its database could.

    Raises:
        LabError: the runtime does not answer, or refuses.
    """
    token = credentials.read_secret(layout, credentials.CONTROL)
    hint = f"dr lab status; see {region.runtime / 'log'}"
    connection = http.client.HTTPSConnection(
        region.address, CONTROL_PORT, timeout=_ANSWER_SECONDS, context=client_context(layout.authority)
    )
    try:
        connection.request("POST", "/slow", json.dumps({"seconds": by.total_seconds()}), {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        said = answer.read(200).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"the runtime of {region.name} does not answer: {error.__class__.__name__}", hint=hint) from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise LabError(f"the runtime of {region.name} answers {answer.status}: {said}", hint=hint)
