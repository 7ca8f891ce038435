"""Links: each kind of evidence, its rank, and what is left to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Account, Key
from sync.links import Links, gathered, propose, worked_out

ACME = Account("001A", "Acme Inc", domains=("acme.example",), refs={"external_id": "cust-1"})
BETA = Account("001B", "Beta GmbH", domains=("beta.example",), refs={"external_id": "cust-2"})
TWIN = Account("001C", "Beta Twin", domains=("beta.example",))


def link(accounts: Sequence[Account], keys: Sequence[Key], **rules: Any) -> Links:
    return gathered(worked_out(accounts, keys, **rules))


def test_the_surest_evidence_decides() -> None:
    key = Key("zendesk", "7", "Something", ("beta.example",), {"crm_id": "001A", "external_id": "cust-2"})
    assert link([ACME, BETA], [key], key_is={"zendesk": "own"}).linked == (("zendesk", "7", "001A", "crm_id"),)


def test_a_salesforce_id_of_15_characters_is_the_one_of_18() -> None:
    told = Account("001D000000IqhSLIAZ", "Told", refs={})
    other = Account("001D000000IqhSlIAJ", "Other", refs={})  # case matters
    held = Key("zendesk", "7", "Told", (), {"crm_id": "001D000000IqhSL"})
    known = Key("product", "001D000000IqhSL", None)
    links = link(
        [told, other],
        [held, known],
        key_is={"zendesk": "own", "product": "crm_id"},
        explicit={"billing": {"c1": "001D000000IqhSL"}},
    )
    found = {(one.source, one.key): one.account for one in links.linked}
    assert found["zendesk", "7"] == found["product", "001D000000IqhSL"] == found["billing", "c1"] == told.id
    assert found["product", other.id] == other.id
    assert not links.unmatched


def test_a_weaker_kind_is_asked_when_the_surer_finds_nothing() -> None:
    key = Key("zendesk", "7", "Acme", ("acme.example",), {"crm_id": "gone", "external_id": "unknown"})
    assert link([ACME], [key], key_is={"zendesk": "own"}).linked == (("zendesk", "7", "001A", "domain"),)


def test_the_settings_overrule_everything() -> None:
    key = Key("zendesk", "7", "Acme", (), {"crm_id": "001A"})
    links = link([ACME, BETA], [key], key_is={"zendesk": "own"}, explicit={"zendesk": {"7": "001B"}})
    assert links.linked == (("zendesk", "7", "001B", "settings"),)


def test_a_key_of_two_accounts_links_to_none_and_says_how_to_mend_it() -> None:
    links = link([BETA, TWIN], [Key("zendesk", "9", "Beta", ("beta.example",))], key_is={"zendesk": "own"})
    assert links.linked == ()
    (unsure,) = links.ambiguous
    assert unsure.accounts == ("001B", "001C")
    assert "domain belongs to 2 accounts: 001B, 001C" in unsure.why
    assert "links.map.zendesk: {'9': ACCOUNT_ID}" in unsure.fix


def test_free_mail_and_shared_domains_prove_nothing() -> None:
    account = Account("001A", "Acme", domains=("gmail.com", "agency.example"))
    keys = [Key("zendesk", "1", "A", ("gmail.com",)), Key("zendesk", "2", "B", ("agency.example",))]
    links = link([account], keys, key_is={"zendesk": "own"}, shared_domains=["agency.example"])
    assert links.linked == ()
    assert {item.key for item in links.unmatched} == {"1", "2"}


def test_an_account_that_never_logged_in_is_linked_all_the_same() -> None:
    assert link([ACME], [], key_is={"mixpanel": "external_id"}).of("mixpanel") == {"cust-1": "001A"}


def test_an_external_id_on_two_accounts_is_ambiguous() -> None:
    double = Account("001D", "Acme again", refs={"external_id": "cust-1"})
    links = link([ACME, double], [Key("mixpanel", "cust-1", None)], key_is={"mixpanel": "external_id"})
    assert links.linked == ()
    assert [item.key for item in links.ambiguous] == ["cust-1"]


def test_many_keys_to_one_account_is_normal() -> None:
    keys = [Key("zendesk", str(n), "Acme", ("acme.example",)) for n in range(3)]
    assert set(link([ACME], keys, key_is={"zendesk": "own"}).of("zendesk").values()) == {"001A"}


def test_similar_names_are_proposed_and_never_linked() -> None:
    links = link([ACME, BETA], [Key("zendesk", "1", "ACME, Ltd.")], key_is={"zendesk": "own"})
    assert links.linked == ()
    assert propose(links.unmatched, [ACME, BETA])["zendesk", "1"][0] == "001A"


_accounts = st.lists(
    st.builds(
        Account,
        id=st.sampled_from(["a", "b", "c", "d"]),
        name=st.just("N"),
        domains=st.lists(st.sampled_from(["x.example", "y.example", "gmail.com"]), max_size=2).map(tuple),
        refs=st.dictionaries(st.just("external_id"), st.sampled_from(["1", "2"]), max_size=1),
    ),
    unique_by=lambda account: account.id,
)
_keys = st.lists(
    st.builds(
        Key,
        source=st.sampled_from(["zendesk", "mixpanel"]),
        key=st.sampled_from(["1", "2", "3"]),
        name=st.none(),
        domains=st.lists(st.sampled_from(["x.example", "gmail.com"]), max_size=2).map(tuple),
        refs=st.dictionaries(st.sampled_from(["crm_id", "external_id"]), st.sampled_from(["a", "1"])),
    ),
    unique_by=lambda key: (key.source, key.key),
)


@given(_accounts, _keys)
def test_every_key_ends_in_exactly_one_place(accounts: list[Account], keys: list[Key]) -> None:
    links = link(accounts, keys, key_is={"zendesk": "own", "mixpanel": "external_id"})
    places = [(item.source, item.key) for group in links.__dict__.values() for item in group]
    assert len(places) == len(set(places))
    assert {(key.source, key.key) for key in keys} <= set(places)
    assert {item.account for item in links.linked} <= {account.id for account in accounts}
