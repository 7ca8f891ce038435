"""What `provision` prints and answers, whatever the plan is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sync.commands
from connectors.base import Change
from connectors.errors import SettingsWrong

HERE = Path("bellwether.yaml")


class Planned:
    """A destination with a plan; what was carried out, and whether pruning was asked for, is kept."""

    def __init__(self, *steps: tuple[str, bool], refuse: str = "") -> None:
        self.steps, self.refuse = steps, refuse
        self.done: list[str] = []
        self.calls: dict[str, str] = {}
        self.pruned: list[bool] = []

    def plan(self, *, prune: bool = False) -> Sequence[Change]:
        self.pruned.append(prune)
        return [Change(what, (lambda what=what: self.apply(what)) if can else None) for what, can in self.steps]  # type: ignore[misc]

    def apply(self, what: str) -> None:
        if what == self.refuse:
            raise SettingsWrong("something uses it", place="destinations.crm")
        self.done.append(what)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command over one destination of this plan."""

    def ask(crm: Planned, *, apply: bool = False, prune: bool = False, as_json: bool = False) -> int:
        @contextmanager
        def rehearsing(_: object) -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(destinations={"crm": crm})

        monkeypatch.setattr(sync.commands, "_rehearsing", rehearsing)
        monkeypatch.setattr(sync.commands, "by_hand", lambda _: nullcontext(dict(crm.calls)))
        monkeypatch.setattr(sync.commands, "load", lambda *_, **__: None)
        return sync.commands.provision(HERE, apply=apply, prune=prune, as_json=as_json)

    return ask


def test_nothing_is_carried_out_unless_asked(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    crm = Planned(("make a", True), ("mend b by hand", False))
    assert asked(crm) == 0
    assert capsys.readouterr().out.splitlines() == [
        "would crm: make a",
        "note crm: mend b by hand",
        "nothing was changed; --apply carries this out",
    ]
    assert (crm.done, crm.pruned) == ([], [False])


def test_what_is_left_to_a_person_fails_the_command_unless_it_is_what_pruning_keeps(asked: Any) -> None:
    crm = Planned(("make a", True), ("mend b by hand", False))
    assert asked(crm, apply=True) == 1
    assert asked(crm, apply=True, prune=True) == 0
    assert (crm.done, crm.pruned) == (["make a", "make a"], [False, True])


def test_a_step_that_is_refused_is_named_and_ends_it(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    crm = Planned(("delete a", True), ("delete b", True), ("delete c", True), refuse="delete b")
    with pytest.raises(SettingsWrong, match="something uses it"):
        asked(crm, apply=True, prune=True)
    assert capsys.readouterr() == ("done crm: delete a\n", "FAIL crm: delete b\n")
    assert crm.done == ["delete a"]


def test_what_the_calls_came_to_is_said_last(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    crm = Planned()
    crm.calls = {"crm": "9 calls; 91 of the day's 100 are left"}
    assert asked(crm) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "crm: 9 calls; 91 of the day's 100 are left"


def test_an_empty_plan_says_so(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(Planned()) == asked(Planned(), prune=True, apply=True) == 0
    assert capsys.readouterr().out.splitlines() == [
        "every field is there and as it should be",
        "nothing of ours is left there",
    ]


def test_scripts_read_the_plan_as_one_document(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(Planned(("make a", True), ("b", False)), as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "applied": False,
        "prune": False,
        "changes": [
            {"destination": "crm", "what": "make a", "by_hand": False},
            {"destination": "crm", "what": "b", "by_hand": True},
        ],
        "calls": {},
    }
