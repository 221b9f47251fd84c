"""Tells the running link what to be like."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from pydantic import ValidationError

from dr.errors import LabError
from dr.lab import credentials
from dr.lab.door import Door
from dr.lab.layout import CONTROL_PORT, DNS_PORT, LINK_CONTROL, POSTGRES_PORT, PUBLIC_PORT, Layout
from dr.lab.link import Condition, LinkConfig, Reply, Request, Way
from dr.model.scenario import LinkFault

_ANSWER_SECONDS = 5.0


def link_config(layout: Layout, account: str | None, more: Sequence[int] = ()) -> LinkConfig:
    """What the link of this lab serves: in each region a listener that leads to the other one's PostgreSQL, and the region's door.

    Args:
        more: TCP ports of the extra parts, which the doors lead to, too.
    """
    ways = tuple(
        Way(
            name=f"{region.name}-to-{layout.other(region.name).name}", address=region.link, port=POSTGRES_PORT,
            to_address=layout.other(region.name).address, to_port=POSTGRES_PORT,
        )
        for region in layout.regions
    )  # fmt: skip
    doors = tuple(
        Door(
            region=region.name, address=region.door, to_address=region.address,
            tcp=(POSTGRES_PORT, DNS_PORT, PUBLIC_PORT, CONTROL_PORT, *more), udp=(DNS_PORT,),
        )
        for region in layout.regions
    )  # fmt: skip
    address, port = LINK_CONTROL
    return LinkConfig(account=account, control_address=address, control_port=port, token=_token(layout), ways=ways, doors=doors)


def set_link(layout: Layout, fault: LinkFault) -> Reply:
    """Replaces the link's condition; it holds when this returns. Raises LabError."""
    condition = Condition(
        delay_seconds=fault.delay.total_seconds() if fault.delay else 0.0,
        bytes_per_second=fault.bytes_per_second,
        blackhole=fault.blackhole,
    )
    reply = _ask(layout, Request(token=_token(layout), do="set", condition=condition))
    return reset_link(layout) if fault.reset else reply


def reset_link(layout: Layout) -> Reply:
    """Cuts all connections; what was on the way is lost, and the condition stays. Raises LabError."""
    return _ask(layout, Request(token=_token(layout), do="reset"))


def close_door(layout: Layout, region: str) -> Reply:
    """Nothing reaches a region through its door any more, and nobody is told; it holds when this returns. Raises LabError."""
    return _ask(layout, Request(token=_token(layout), do="close", region=region))


def open_door(layout: Layout, region: str) -> Reply:
    """The door of a region leads to it again. Raises LabError."""
    return _ask(layout, Request(token=_token(layout), do="open", region=region))


def link_status(layout: Layout) -> Reply:
    """What the link is like now. Raises LabError where it does not answer."""
    return _ask(layout, Request(token=_token(layout), do="status"))


def _token(layout: Layout) -> str:
    return credentials.read_secret(layout, credentials.LINK)


def _ask(layout: Layout, request: Request) -> Reply:
    hint = f"dr lab status; see {layout.link / 'log'}"
    try:
        with socket.create_connection(LINK_CONTROL, timeout=_ANSWER_SECONDS) as connection, connection.makefile("rb") as answer:
            connection.sendall(request.model_dump_json().encode() + b"\n")
            reply = Reply.model_validate_json(answer.readline())
    except (OSError, ValidationError) as error:
        raise LabError(f"the link does not answer on {LINK_CONTROL[0]}:{LINK_CONTROL[1]}: {error.__class__.__name__}", hint=hint) from error
    if reply.error:
        raise LabError(f"the link refused: {reply.error}", hint=hint)
    return reply
