"""Serves the metrics on HTTP at ``/metrics``, on loopback unless told otherwise: they name components and regions."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, start_http_server

from dr.errors import Refused
from dr.monitor.metrics import Metrics


class Exporter:
    """An HTTP server with a registry of its own (nothing about this Python process is told). A context manager.

    Args:
        port: 0 takes a free one; ``url`` tells which.
    """

    def __init__(self, metrics: Metrics, port: int, address: str = "127.0.0.1") -> None:
        self._metrics, self._port, self._address = metrics, port, address

    def __enter__(self) -> Self:
        """Raises Refused where the port is taken."""
        registry = CollectorRegistry()
        registry.register(self._metrics)
        try:
            self._server, self._thread = start_http_server(self._port, self._address, registry)
        except OSError as error:
            raise Refused(f"metrics cannot be served on {self._address}:{self._port}: {error.strerror}", hint="--port PORT") from error
        return self

    @property
    def url(self) -> str:
        """Where the metrics are."""
        return f"http://{self._address}:{self._server.server_port}/metrics"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the server and its thread; the port is free afterwards."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
