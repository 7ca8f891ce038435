"""The world as Zendesk's directory: organizations and users, as records with the nulls of real accounts.

How an organization can be told to be a company varies, as in life: by external id, only by domain, by nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from connectors.sandbox import words
from connectors.sandbox.tickets import AGENTS, contacts
from connectors.sandbox.world import SISTERS, Company, World

Record = dict[str, Any]

ORGANIZATION, USER, AGENT = 45 * 10**12, 46 * 10**12, 47 * 10**12
ADMIN = 10  # the agent whose credentials the sandbox hands out
BY_EXTERNAL_ID, BY_DOMAIN = 0.60, 0.97  # the shares of organizations that can be told by an id; at least by domain
FREE_MAIL = "gmail.com"


class Organization(NamedTuple):
    id: int
    name: str
    external_id: str | None
    domains: tuple[str, ...]
    changed: int


class Person(NamedTuple):
    """Somebody who writes to support, or (role `admin`, `agent`) answers."""

    id: int
    name: str
    email: str
    organization: int | None
    role: str
    changed: int


def organizations(world: World) -> Iterator[Organization]:
    """Every customer has one, some prospects do, and a few belong to no company of the CRM."""
    for company in world.companies:
        if company.customer or company.number % 4 == 0:
            yield _organization(world, company)
    for number in range(len(world.customers) // 50 + 1):
        yield Organization(ORGANIZATION + 900_000_000 + number, f"Test account {number}", None, (), _first(world))


def people(world: World) -> Iterator[Person]:
    """The agents, then the contacts of every customer."""
    for number in (ADMIN, *AGENTS):
        role = "admin" if number == ADMIN else "agent"
        name = words.person_name(number * 31)
        yield Person(AGENT + number, name, f"{role}{number}@sandbox.test", None, role, _first(world))
    for company in world.customers:
        for contact in range(contacts(company)):
            yield contact_of(company, contact)


def organization_record(organization: Organization, base: str) -> Record:
    when = stamp(organization.changed)
    return {
        "url": f"{base}api/v2/organizations/{organization.id}.json",
        "id": organization.id,
        "name": organization.name,
        "shared_tickets": False,
        "shared_comments": False,
        "external_id": organization.external_id,
        "created_at": when,
        "updated_at": when,
        "domain_names": list(organization.domains),
        "details": None,
        "notes": None,
        "group_id": None,
        "tags": [],
        "organization_fields": {},
        "deleted_at": None,
    }


def user_record(person: Person, base: str) -> Record:
    when = stamp(person.changed)
    return {
        "id": person.id,
        "url": f"{base}api/v2/users/{person.id}.json",
        "name": person.name,
        "email": person.email,
        "created_at": when,
        "updated_at": when,
        "time_zone": "UTC",
        "iana_time_zone": "Etc/UTC",
        "phone": None,
        "photo": None,
        "locale_id": 1,
        "locale": "en-US",
        "organization_id": person.organization,
        "role": person.role,
        "verified": True,
        "external_id": None,
        "tags": [],
        "alias": None,
        "active": True,
        "shared": False,
        "shared_agent": False,
        "last_login_at": None,
        "signature": None,
        "details": None,
        "notes": None,
        "role_type": 4 if person.role == "admin" else None,
        "custom_role_id": None,
        "moderator": person.role == "admin",
        "ticket_restriction": "requested" if person.role == "end-user" else None,
        "only_private_comments": False,
        "restricted_agent": person.role == "end-user",
        "suspended": False,
        "user_fields": {},
    }


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _organization(world: World, company: Company) -> Organization:
    drawn = world.random(5, company.number).random()
    by_id = drawn < BY_EXTERNAL_ID and company.number not in SISTERS
    known = drawn < BY_DOMAIN or company.number in SISTERS
    return Organization(
        id=ORGANIZATION + company.number,
        name=company.name if known else company.name.split()[0],
        external_id=company.external_id if by_id else None,
        domains=(company.domain,) if known else (),
        changed=int(company.created.timestamp()),
    )


def contact_of(company: Company, contact: int) -> Person:
    """One of the company's people; some stand in no organization, and some write from a free mail address."""
    name = words.person_name(company.number * 7 + contact * 5)
    private = company.number % 29 == 0 and contact == 1
    alone = private or (company.number % 7 == 0 and contact == 0)
    host = FREE_MAIL if private else company.domain
    return Person(
        id=USER + company.number * 100 + contact,
        name=name,
        email=f"{name.lower().replace(' ', '.')}@{host}",
        organization=None if alone else ORGANIZATION + company.number,
        role="end-user",
        changed=int(company.created.timestamp()) + 3600 * (contact + 1),
    )


def _first(world: World) -> int:
    return int(world.midnight(-400).timestamp())
