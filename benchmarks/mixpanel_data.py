"""A raw event export of eight days, as one file and as a file for each day; one event in fifty comes twice."""

from __future__ import annotations

import random
import zlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

FIRST = date(2026, 10, 1)
DAYS = 8
NAMES = ("Logged In", "Report Exported", "Dashboard Viewed", "API Called", "Comment Added", "Page Seen")
TWICE = 0.02
USERS = 30_000  # so that two million events make about a million facts
_LINE = (
    '{"event":"%s","properties":{"time":%d,"distinct_id":"user-%07d","$app_build_number":"412","$browser":"Chrome",'
    '"$browser_version":129,"$city":"%s","$current_url":"https://app.example.com/spaces/%d/boards/%d?tab=overview&'
    'from=mail","$device":"Mac","$device_id":"%s","$initial_referrer":"https://www.example.org/search",'
    '"$initial_referring_domain":"www.example.org","$insert_id":"%s","$lib_version":"2.55.1","$mp_api_endpoint":'
    '"api.mixpanel.com","$mp_api_timestamp_ms":%d,"$os":"Mac OS X","$region":"Bayern","$screen_height":1117,'
    '"$screen_width":1728,"company_id":"cust-%07d","mp_country_code":"DE","mp_lib":"web","mp_processing_time_ms":%d,'
    '"mp_sent_by_lib_version":"2.55.1","plan":"enterprise","role":"editor","$user_agent":"Mozilla/5.0 (Macintosh; '
    'Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"}}\n'
)
_CITIES = ("Berlin", "M\\u00fcnchen", "Hamburg", "K\\u00f6ln")


def make(folder: Path, events: int) -> int:
    """Write `all.gz` and `DAY.gz`; the number of raw bytes."""
    chance = random.Random(11)
    size = 0
    with (folder / "all.gz").open("wb") as whole:
        gathered = _packer()
        for number in range(DAYS):
            day = FIRST + timedelta(days=number)
            packer = _packer()
            with (folder / f"{day}.gz").open("wb") as file:
                for text in _texts(chance, day, events // DAYS):
                    size += len(text)
                    whole.write(gathered.compress(text))
                    file.write(packer.compress(text))
                file.write(packer.flush())
        whole.write(gathered.flush())
    return size


def _packer() -> zlib._Compress:
    return zlib.compressobj(1, zlib.DEFLATED, 31)


def _texts(chance: random.Random, day: date, events: int) -> list[bytes]:
    """The lines of a day, some thousands at a time."""
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    lines: list[str] = []
    while len(lines) < events:
        lines.append(_line(chance, midnight))
        if chance.random() < TWICE:
            lines.append(lines[-1])
    return ["".join(lines[first : first + 5000]).encode() for first in range(0, events, 5000)]


def _line(chance: random.Random, midnight: int) -> str:
    user = int(chance.random() * USERS)
    second, city = midnight + int(chance.random() * 86_400), _CITIES[user & 3]
    space, unique = user // 12, f"{chance.getrandbits(64):016x}"
    name = NAMES[int(chance.random() * len(NAMES))]
    device = f"{user * 2654435761 % 2**64:016x}"
    millis = second * 1000 + 431
    return _LINE % (name, second, user, city, space, space % 97, device, unique, millis, space, millis + 900)
