"""Four vendors on four loopback ports, served from one background thread.

    with Sandbox(accounts=300, clock=clock) as sandbox:
        sandbox.urls["zendesk"]  # http://127.0.0.1:…

The world's history ends, and its life begins, at the clock's time of construction. Leaving the block closes
every socket and ends the thread.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from connectors.clock import Clock
from connectors.sandbox.faults import LOOPBACK, Door, Profile, profile
from connectors.sandbox.world import World

VENDORS = ("zendesk", "mixpanel", "salesforce", "hubspot")
PATIENCE = 30.0  # seconds to wait for the thread to come up or end


class Sandbox:
    """Serves the simulated vendors until closed.

    `vendors`: which of them. `ports`: in that order; 0 means any. `faults`: a profile, or the name of one.
    `jwt_public_key`: a PEM that the Salesforce stand-in accepts beside its own. `crm`: the stores behind Salesforce
    and HubSpot. `told`: the moment up to which Zendesk and Mixpanel have heard of anything, now unless said otherwise.
    `silence`: seconds of the machine's time that a silent call lasts.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        accounts: int = 300,
        seed: int = 7,
        faults: str | Profile = "none",
        history_days: int = 120,
        vendors: Sequence[str] = VENDORS,
        ports: Sequence[int] | None = None,
        host: str = "127.0.0.1",
        jwt_public_key: str | None = None,
        told: Clock | None = None,
        silence: float = 0.2,
    ) -> None:
        _refuse_others(host)
        self._clock, self._told = clock, told or clock
        self._faults = profile(faults, seed=seed, silence=silence) if isinstance(faults, str) else faults
        self._jwt_public_key = jwt_public_key
        self.world = World(accounts=accounts, seed=seed, start=clock.now() - timedelta(days=history_days))
        self.crm: dict[str, Any] = {}
        self._connections: dict[tuple[str, int], asyncio.Transport] = {}
        self._doors = {vendor: self._door(vendor) for vendor in vendors}
        self._sockets = _listen(host, ports or [0] * len(vendors))
        self.urls = {vendor: _url(listener) for vendor, listener in zip(vendors, self._sockets, strict=True)}
        self._servers = [self._server(vendor) for vendor in vendors]
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)
        self._thread.start()
        self._await_start()

    @property
    def calls(self) -> Mapping[str, Mapping[str, int]]:
        """Calls answered so far, by vendor and by what they were for."""
        return MappingProxyType({vendor: dict(door.calls) for vendor, door in self._doors.items()})

    @property
    def faults(self) -> Mapping[str, int]:
        """What has gone wrong so far, by kind: calls spoiled at a door, and rows, jobs and exports within."""
        found = Counter(self._faults.struck)
        for door in self._doors.values():
            found.update(
                {what.removeprefix("fault."): count for what, count in door.calls.items() if what.startswith("fault.")}
            )
        return MappingProxyType(+found)

    def close(self) -> None:
        """Stop serving; returns when nothing of the sandbox is left."""
        for server in self._servers:
            server.should_exit = True
        self._thread.join(PATIENCE)
        for listener in self._sockets:
            listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _door(self, vendor: str) -> Door:
        app = self._app(vendor)
        expire = getattr(app.state, "expire", None)
        return Door(app, vendor, clock=self._clock, profile=self._faults, drop=self._drop, expire=expire)

    def _app(self, vendor: str) -> Starlette:
        build: Callable[..., Any] = importlib.import_module(f"connectors.sandbox.{vendor}").app
        if vendor not in ("salesforce", "hubspot"):
            return build(self.world, self._clock, self._faults, told=self._told)  # type: ignore[no-any-return]
        more: dict[str, Any] = {"base_url": lambda: self.urls[vendor]}
        if vendor == "salesforce" and self._jwt_public_key is not None:
            more["jwt_public_key"] = self._jwt_public_key
        app, self.crm[vendor] = build(self.world, self._clock, self._faults, **more)
        return app  # type: ignore[no-any-return]

    def _server(self, vendor: str) -> uvicorn.Server:
        config = uvicorn.Config(
            self._doors[vendor],
            http=_protocol(self._connections),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the door dates answers, by the simulated clock
            timeout_graceful_shutdown=5,
        )
        return uvicorn.Server(config)

    def _serve(self) -> None:
        async def together() -> None:
            pairs = zip(self._servers, self._sockets, strict=True)
            await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in pairs))

        asyncio.run(together())

    def _await_start(self) -> None:
        pause = threading.Event()
        for _ in range(int(PATIENCE * 100)):
            if all(server.started for server in self._servers):
                return
            if not self._thread.is_alive():
                break
            pause.wait(0.01)
        self.close()
        raise RuntimeError("the sandbox did not come up")

    def _drop(self, client: tuple[str, int]) -> None:
        transport = self._connections.get(tuple(client))  # type: ignore[arg-type]
        if transport is not None:
            transport.abort()


def _protocol(connections: dict[tuple[str, int], asyncio.Transport]) -> type[asyncio.Protocol]:
    """HTTP as uvicorn speaks it, keeping open connections by client address so that one can be dropped."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            connections[transport.get_extra_info("peername")[:2]] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.transport.get_extra_info("peername")[:2], None)
            super().connection_lost(exc)

    return Protocol


def _refuse_others(host: str) -> None:
    """Only this machine may reach the sandbox: its credentials are public."""
    if host in LOOPBACK:
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"the sandbox serves loopback only, not {host!r}")


def _listen(host: str, ports: Sequence[int]) -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners: list[socket.socket] = []
    try:
        for port in ports:
            # the protocol by name: asyncio sets TCP_NODELAY only on sockets that say it, and without it each call
            # waits 40 ms for a delayed acknowledgement
            listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
