"""The company a soak lives with: its systems hear of the world in portions, and its people work in its CRMs.

Within a portion nothing changes outside, so every worker over the same data ends it with the same fields in the CRMs,
however often it was refused, cut off or killed on the way. That is what makes two workers comparable.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Self

from connectors.clock import Clock, SteppedClock
from connectors.sandbox import Sandbox
from connectors.sandbox.crm import salesforce_id
from connectors.sandbox.faults import Profile
from connectors.sandbox.hubspot_portal import FIRST_ID
from sync.loading import load
from sync.rehearsal import settings_for
from sync.settings import Settings

START = datetime(2026, 11, 2, 2, tzinfo=UTC)
HISTORY = 120  # days; every company of the world is there by then
BULK_ABOVE = 8  # records: some deliveries are by bulk job, some are not
EVERY = timedelta(minutes=20)  # how often anything is read: always less than the pause between two portions


class Company:
    """A sandbox, the settings that fit it in `folder`, and what happens in each portion."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        accounts: int,
        seed: int,
        faults: str | Profile,
        history: int = HISTORY,
        silence: float = 0.2,
        bulk_above: int = BULK_ABOVE,
        more: str = "",
    ) -> None:
        self.folder, self.seed, self._told = folder, seed, SteppedClock(START)
        self.faulty = faults != "none"
        self.box = Sandbox(
            clock=clock,
            accounts=accounts,
            seed=seed,
            faults=faults,
            history_days=history,
            told=self._told,
            silence=silence,
        )
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "bellwether.yaml"
        self.path.write_text(_settings(self.box, bulk_above) + more, encoding="utf-8")
        self._added = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.box.close()

    @property
    def settings(self) -> Settings:
        return load(self.path)

    @property
    def told(self) -> datetime:
        return self._told.now()

    def tell(self, moment: datetime) -> None:
        """Begin a portion: the vendors hear of what happened until then, and people change records."""
        before = self.told
        self._told.advance_to(moment)
        if moment > before:
            self._people(Random(f"{self.seed} {moment}"), daily=moment.date() > before.date())

    def _people(self, random: Random, *, daily: bool) -> None:
        org, portal = self.box.crm["salesforce"], self.box.crm["hubspot"]
        customers = [record for record in sorted(org.live()) if org.records[record]["Type"] == "Customer"]
        for record in random.sample(customers, max(2, len(customers) // 20)):
            org.set_field(record, "Seats__c", random.randint(5, 400))
        edited = random.sample(customers, 2)
        org.set_field(edited[0], "Health_Reason__c", "I spoke with them: all is well")
        portal.set_field(random.choice(sorted(portal.live())), "health_reason", "see my notes")
        org.set_field(edited[1], "Plan__c", random.choice(("free", "pro", "enterprise")))
        org.set_field(random.choice(customers), "Health_Tier__c", random.choice(("green", "yellow", "red")))  # it stays
        if daily:
            leaver, loser, winner, deleted = random.sample(customers, 4)
            org.set_field(leaver, "Type", "Other")
            org.merge(loser, winner)
            org.delete(deleted)
            portal.delete(random.choice(sorted(portal.live())))
            prospects = [record for record in sorted(org.live()) if org.records[record]["Type"] != "Customer"]
            org.set_field(random.choice(prospects), "Type", "Customer")
            for _ in range(2):  # three went, so that the company neither shrinks nor grows
                self._new_account(org, portal)

    def _new_account(self, org: Any, portal: Any) -> None:
        """Somebody signs: a record in both CRMs, made after those of the world."""
        self._added += 1
        number = 900_000 + self._added
        like, name = org.records[salesforce_id("001", 1)], f"Newcomer {self._added}"
        identity = {"External_Id__c": f"new-{number}", "Website": f"https://newcomer{self._added}.example"}
        ours = {key: None for key in like if key.startswith("Health_")}
        fields = like | ours | identity | {"Id": salesforce_id("001", number), "Name": name, "IsDeleted": False}
        org.add(fields["Id"], fields | {"Type": "Customer"}, created=self.told)
        company = {"hs_object_id": str(FIRST_ID + number * 7919), "name": name, "external_id": f"new-{number}"}
        portal.add(company["hs_object_id"], company | {"lifecyclestage": "customer"}, created=self.told)


def _settings(box: Sandbox, bulk_above: int) -> str:
    """Everything is read at every pass, and some deliveries are large enough for a bulk job."""
    minutes = int(EVERY.total_seconds() / 60)
    text = settings_for(box.urls).replace("    backfill: 120d", f"    backfill: 120d\n    every: {minutes}m")
    text = text.replace("accounts:\n", f"accounts:\n  every: {minutes}m\n", 1)
    text = text.replace("External_Id__c\n", f"External_Id__c\n    bulk_above: {bulk_above}\n")
    return f"{text}salt: soak\n"
