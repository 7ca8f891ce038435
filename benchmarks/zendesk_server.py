"""A Zendesk of many tickets on loopback: the incremental exports by cursor, a thousand tickets a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

PAGE = 1000
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 10, 31, tzinfo=UTC)
CHANGED = 2  # pages of changed tickets behind the end of the stream
WAITED = {"calendar": 31, "business": 12}
WORDS = (
    "Hello, since the update this morning the export of our monthly report stops half-way and nobody in the team can "
    "work. We tried another browser and cleared everything. Could you please look into it soon? Thank you very much!"
)
PRIORITIES, STATES = ("low", "normal", "high", "urgent"), ("open", "solved", "closed", "closed", "closed")


def serve(pages: int, folder: str) -> None:
    """Pages are made when they are first asked for, and kept in the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(pages, Path(folder)))
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def _handler(pages: int, folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = parse_qs(parts.query)
            self._say(_answer(parts.path, int(asked.get("cursor", ["0"])[0]), pages, folder))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(orjson.dumps({"access_token": "bench", "expires_in": 7200}))

        def _say(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _answer(path: str, number: int, pages: int, folder: Path) -> bytes:
    kind = path.removeprefix("/api/v2/incremental/").split("/")[0].removesuffix(".json")
    if kind != "tickets":
        end = int(NOW.timestamp())
        return orjson.dumps({kind: [], "end_of_stream": True, "end_time": end, "after_cursor": "1"})
    made = folder / f"{pages}-{number}.json"
    if not made.exists():
        made.write_bytes(_page(number, pages))
    return made.read_bytes()


def _page(number: int, pages: int) -> bytes:
    """Pages behind the end hold tickets of the first pages again, changed."""
    again = number >= pages
    first = (number - pages if again else number) * PAGE
    last = number in (pages - 1, pages + CHANGED - 1)
    users = [_user(n) for n in range(100)]
    tickets = [_ticket(first + n, again=again) for n in range(PAGE)]
    return orjson.dumps(
        {"tickets": tickets, "users": users, "end_of_stream": last, "after_cursor": str(number + 1), "after_url": None}
    )


def _user(n: int) -> dict[str, Any]:
    return {"id": 900 + n, "name": f"Person {n}", "email": f"person{n}@customer{n}.example", "role": "end-user"}


def _ticket(n: int, *, again: bool) -> dict[str, Any]:
    created = START + timedelta(minutes=2 * n)
    updated = NOW - timedelta(hours=1) if again else created + timedelta(hours=n % 70)
    state = STATES[n % len(STATES)]
    solved = None if state == "open" else _stamp(updated)
    return {
        "url": f"https://bench.zendesk.com/api/v2/tickets/{n}.json",
        "id": n,
        "external_id": None,
        "via": {"channel": "email", "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": _stamp(created),
        "updated_at": _stamp(updated),
        "generated_timestamp": int(updated.timestamp()),
        "type": "problem",
        "subject": "The export stops half-way",
        "raw_subject": "The export stops half-way",
        "description": f"{WORDS} ({n})",
        "priority": PRIORITIES[(n + again) % 4],
        "status": state,
        "requester_id": 900 + n % 100,
        "submitter_id": 900 + n % 100,
        "assignee_id": 7,
        "organization_id": 5000 + n % 9000,
        "group_id": 48,
        "collaborator_ids": [],
        "follower_ids": [],
        "email_cc_ids": [],
        "has_incidents": False,
        "is_public": True,
        "due_at": None,
        "tags": ["export", "reports", "escalated" if n % 20 == 0 else "web"],
        "custom_fields": [{"id": 360000000 + k, "value": "something a form asked"} for k in range(6)],
        "satisfaction_rating": {"score": ("good", "bad", "offered")[n % 3]},
        "custom_status_id": 3,
        "ticket_form_id": 2,
        "brand_id": 1,
        "allow_channelback": False,
        "metric_set": {
            "id": n,
            "ticket_id": n,
            "created_at": _stamp(created),
            "updated_at": _stamp(updated),
            "group_stations": 1,
            "assignee_stations": 1,
            "reopens": int(n % 11 == 0),
            "replies": 3,
            "status_updated_at": _stamp(updated),
            "solved_at": solved,
            "reply_time_in_minutes": WAITED,
            "first_resolution_time_in_minutes": WAITED,
            "full_resolution_time_in_minutes": WAITED,
            "agent_wait_time_in_minutes": WAITED,
            "requester_wait_time_in_minutes": WAITED,
            "on_hold_time_in_minutes": {"calendar": 0, "business": 0},
        },
    }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
