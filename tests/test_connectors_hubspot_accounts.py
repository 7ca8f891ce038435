from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import AgainNow, SettingsWrong
from connectors.hubspot.accounts import domains, level
from connectors.hubspot.where import Condition, parse
from tests.hubspot_stub import OBJECTS, fixtures
from tests.loopback import Answer, in_turn

WHERE = "lifecyclestage = customer"


def company(number, **properties):
    base = {"name": f"Company {number}", "domain": f"company{number}.example", "lifecyclestage": "customer"}
    return {"id": str(number), "createdAt": "2025-01-02T03:04:05.678Z", "properties": base | properties}


def page(*companies, after=None, link=None):
    paging = {"paging": {"next": {"after": after, "link": link or "x"}}} if after else {}
    return Answer(body={"results": list(companies)} | paging)


portal, served, crm = fixtures(external_id_field="external_id")


def test_a_company_carries_what_matching_and_scoring_need(portal, crm, served):
    held: dict[str, str | None] = {"health_score": "82.4", "health_reason": None, "seats": "12", "plan": "Pro"}
    held |= {"hs_additional_domains": "b.example;www.C.example", "external_id": "cust-0001", "hubspot_owner_id": "42"}
    held["salesforceaccountid"] = "001x"
    portal.script["GET companies"] = in_turn(page(company(1, **held)))
    ((account,),) = crm.accounts(where=WHERE, attributes={"seats": "seats", "account.plan": "plan"})
    assert (account.id, account.name, account.owner) == ("1", "Company 1", "42")
    assert account.domains == ("company1.example", "b.example", "c.example")
    assert account.refs == {"external_id": "cust-0001", "crm_id": "001x"}
    assert account.since == datetime(2025, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert account.attributes == {"seats": 12.0, "account.plan": "Pro"}
    assert account.present == {"score": "82.4", "reason": None}
    asked = served.asked[-1].query
    assert (asked["limit"], asked["archived"]) == ("100", "false")
    names = asked["properties"].split(",")
    assert len(names) == len(set(names))
    assert {"domain", "lifecyclestage", "health_tier", "seats", "external_id", "salesforceaccountid"} <= set(names)


def test_only_companies_that_meet_the_condition_are_accounts(portal, crm):
    leads = [company(2, lifecyclestage="lead"), company(3, lifecyclestage=None)]
    portal.script["GET companies"] = in_turn(page(company(1), *leads))
    ((account,),) = crm.accounts(where=WHERE, attributes={})
    assert (account.id, crm.left_out) == ("1", "")


@pytest.mark.parametrize(
    "odd", [{"id": "4"}, {"id": "4", "properties": None}, {"id": "4", "properties": [1]}, company(4) | {"id": [4]}]
)
def test_a_company_of_no_use_is_told_and_not_taken_for_one_that_does_not_meet_the_condition(portal, crm, odd):
    portal.script["GET companies"] = in_turn(page(company(1), odd))
    ((account,),) = crm.accounts(where=WHERE, attributes={})
    assert (account.id, crm.left_out[:17]) == ("1", "1 row is left out")


def test_pages_are_followed_by_their_cursor_and_never_by_their_address(portal, crm, served):
    link = "https://evil.test/crm/objects/2026-03/companies?after=2"
    portal.script["GET companies"] = lambda asked: (
        page(company(3)) if "after" in asked.query else page(company(1), company(2), after="2", link=link)
    )
    pages = list(crm.accounts(where=WHERE, attributes={}))
    assert [[account.id for account in one] for one in pages] == [["1", "2"], ["3"]]
    assert served.asked[-1].query["after"] == "2"


@pytest.mark.parametrize("round_", [("2",), ("2", "3"), ("2", "3", "4")])
def test_cursors_that_lead_in_a_ring_end_with_an_error(portal, crm, served, round_):
    portal.script["GET companies"] = in_turn(*(page(company(1), after=one) for one in round_ * 3))
    with pytest.raises(AgainNow, match="a page that was read before"):
        list(crm.accounts(where=WHERE, attributes={}))
    assert served.paths().count(OBJECTS) == len(round_) + 1


@pytest.mark.parametrize("told", [{}, {"after": None}, {"after": ""}, {"link": "https://api.hubapi.com/x"}])
def test_a_page_that_says_there_is_more_and_not_where_is_no_last_one(portal, crm, told):
    portal.script["GET companies"] = in_turn(Answer(body={"results": [company(1)], "paging": {"next": told}}))
    with pytest.raises(AgainNow, match="not of the form"):
        list(crm.accounts(where=WHERE, attributes={}))


def test_a_pilot_reads_no_further_than_it_must(portal, crm, served):
    portal.script["GET companies"] = in_turn(page(*(company(n) for n in range(9)), after="9"))
    pages = list(crm.accounts(where=WHERE, attributes={}, limit=5))
    assert [len(one) for one in pages] == [5]
    assert [path for path in served.paths() if "properties" not in path] == [OBJECTS]


def test_an_attribute_that_does_not_exist_is_named(crm):
    with pytest.raises(SettingsWrong, match=r"accounts\.attributes\.arr: companies have no property 'ar'"):
        list(crm.accounts(where=WHERE, attributes={"arr": "ar"}))


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("12.5", "number", 12.5),
        ("x", "number", None),
        ("true", "bool", 1.0),
        ("false", "bool", 0.0),
        ("1970-01-11", "date", 10.0),
        ("864000000", "date", 10.0),
        ("1970-01-11T05:00:00Z", "datetime", 10.0),
        ("Enterprise", "enumeration", "Enterprise"),
        ("2026", "string", "2026"),
        ("", "string", None),
        (None, "number", None),
    ],
)
def test_attributes_become_levels_by_the_type_of_their_property(text, kind, expected):
    assert level(text, kind) == expected


def test_domains_are_clean_and_each_once():
    held = {"domain": "WWW.Acme.com", "hs_additional_domains": "acme.com;acme.de.; ;intranet"}
    assert domains(held) == ("acme.com", "acme.de")
    assert domains({"domain": None}) == ()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", ()),
        ("lifecyclestage = customer", (Condition("lifecyclestage", ("customer",)),)),
        ("a=b AND c in (x, 'y, z')", (Condition("a", ("b",)), Condition("c", ("x", "y, z")))),
        (
            'country = United Kingdom and a = "x and y"',
            (Condition("country", ("United Kingdom",)), Condition("a", ("x and y",))),
        ),
        ("a = ''", (Condition("a", ("",)),)),
    ],
)
def test_conditions_are_read(where, expected):
    assert parse(where) == expected


@pytest.mark.parametrize(
    "where",
    [
        "a",
        "a =",
        "= b",
        "a = b and",
        "a in x",
        "a in (",
        "a in ()",
        "a in (b",
        "A = b",
        "'a' = b",
        "a = 'b",
        "a = b, c",
        "a > 3",
        "a = (b)",
    ],
)
def test_a_condition_that_is_none_is_refused_with_an_example(where):
    with pytest.raises(SettingsWrong, match="write for example"):
        parse(where)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader_of_conditions(text):
    try:
        parse(text)
    except SettingsWrong as error:
        assert "accounts.where" in str(error)  # noqa: PT017


@given(
    st.sampled_from(["a", "b_1"]),
    st.lists(st.text("xyz '(),=and", min_size=1).filter(lambda t: '"' not in t), min_size=1),
)
def test_quoted_values_come_out_as_they_went_in(name, values):
    listed = ", ".join(f'"{value}"' for value in values)
    assert parse(f"{name} in ({listed})") == (Condition(name, tuple(values)),)


def test_a_blank_property_meets_only_a_blank_value():
    assert parse("a = ''")[0].meets({"a": None})
    assert not parse("a = x")[0].meets({})
