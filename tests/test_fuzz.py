"""A little of what `python -m tests.fuzz` does by the million, and what it has found."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from connectors.base import Write
from connectors.errors import ConnectorError
from connectors.fold import fold
from connectors.zendesk import Settings, Zendesk
from tests.fuzz import TARGETS, Target, files, vendors

END = b'{"tickets": [], "users": [], "organizations": [], "end_of_stream": true}'


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
@examples(max_examples=3)
@given(seed=st.integers(0, 2**32))
def test_changed_input_is_taken_as_it_says_or_refused(
    target: Target, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tally = target.make(Random(seed), tmp_path_factory.mktemp("fuzz"))
    assert tally.inputs
    assert tally.accepted <= tally.inputs


@examples(max_examples=40)
@given(body=st.binary(max_size=300) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(
    lambda value: json.dumps({"tickets": value, "users": value, "organizations": value}).encode()
))  # fmt: skip
def test_whatever_a_vendor_answers_is_read_or_sorted(body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    tools = files._tools(tmp_path_factory.mktemp("vendor"))
    settings = Settings.model_validate({"subdomain": "acme", "email": "a@b.example", "api_token": "x"})
    answers = iter([body] * 8)  # and then the stream ends
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=next(answers, END)))
    source = Zendesk("help", settings, tools, transport=transport)
    try:
        pages = list(source.pull(None, start=files.NOW, now=files.NOW))
    except ConnectorError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most answers are refused
    else:
        assert not [event for page in pages for event in page.events]  # type: ignore[union-attr]
    finally:
        source.close()


@pytest.mark.parametrize(
    "odd", ['{"event": "half \\ud83d", "properties": {}}', '{"event": "x", "properties": 5}', "no JSON", "[1]", ""]
)
def test_one_odd_line_costs_an_export_nothing_else(odd: str, tmp_path: Path) -> None:
    good = [json.dumps(files.EVENT | {"properties": files.EVENT["properties"] | {"$insert_id": f"{n}"}}) for n in "abc"]
    (tmp_path / "export.ndjson").write_text("\n".join([good[0], odd, good[1], good[2]]) + "\n")
    with fold(tmp_path / "export.ndjson", files.PLAN, actor=str, place="sources.mixpanel") as (parts, counts):
        assert [fact for part in parts for fact in files._of(part.facts)] == [("login", 3.0)]
    assert counts.get("events_unreadable", 0) == (odd not in ("", '{"event": "x", "properties": 5}'))


def test_a_result_of_another_record_is_no_success_of_this_one() -> None:
    """Salesforce answers by position; where one result is missing, all behind it would count for the wrong record."""
    results = [{"id": str(n), "success": True, "errors": []} for n in (1, 2)]
    client: Any = vendors.FakeSalesforce(vendors.DESCRIBED, results=results)
    vendors_writes, vendors.WRITES = vendors.WRITES, [Write(str(n), {"score": 1.0}) for n in (0, 1, 2)]
    try:
        outcomes = {one.id: one.code for one in vendors._salesforce_writer(client).write(vendors.WRITES)}
    finally:
        vendors.WRITES = vendors_writes
    assert outcomes == {"0": "NO_RESULT", "1": "NO_RESULT", "2": "NO_RESULT"}
