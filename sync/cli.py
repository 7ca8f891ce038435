"""The command line: a contract that scripts rely on.

Exit codes: 0 done, 1 some accounts or sources failed (they are named), 2 settings or usage. Results go to standard
output, everything else to standard error. Bodies are imported when a command is run, so that help is quick.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="bellwether",
    help="Keeps a true, explained customer health score in the CRM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

scorecard = typer.Typer(no_args_is_help=True, help="Show, compare and list scorecards, every version that was used.")
app.add_typer(scorecard, name="scorecard")

Config = Annotated[
    Path, typer.Option("--config", envvar="BELLWETHER_CONFIG", help="The settings file.", readable=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of words.")]
DEFAULT = Path("bellwether.yaml")
Score = Annotated[str, typer.Option("--score", help="Which of the scores, where there are several.")]


class Only(StrEnum):
    """The steps that `run` can be narrowed to."""

    pull = "pull"
    score = "score"


def main() -> None:
    """The entry point: every failure a person can mend is one line and an exit code, never a traceback."""
    # a fault of native code would leave all secrets in a core file; the processes we start inherit this
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with _told():
        app()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - sorted below; what nobody foresaw is raised again
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """Say what went wrong in one line per mistake. An error nobody foresaw is raised again, traceback and all."""
    from connectors.errors import ConnectorError, SettingsWrong
    from sync.console import complain
    from sync.errors import Busy, LeaseLost, SettingsError, StateError, UsageError

    lines = error.lines if isinstance(error, SettingsError) else [str(error)]
    if isinstance(error, SettingsError | SettingsWrong | StateError | UsageError):
        code = 2
    elif isinstance(error, ConnectorError | Busy | LeaseLost):
        code = 1
    else:
        raise error
    for line in lines:
        complain(line)
    return code


@app.command()
def init(
    config: Config = DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Write over a settings file that is there.")] = False,
) -> None:
    """Write an annotated settings file, and an example of the environment it needs, to begin with."""
    from sync.commands import write_starter

    write_starter(config, force=force)


@app.command()
def check(config: Config = DEFAULT, json: Json = False) -> None:
    """Look at settings, credentials, fields and matching; say in a line each what is wrong and what to do."""
    from sync.commands import check as body

    raise typer.Exit(body(config, as_json=json))


@app.command()
def provision(
    config: Config = DEFAULT,
    apply: Annotated[bool, typer.Option("--apply", help="Carry the plan out.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Plan to remove what was made there.")] = False,
    json: Json = False,
) -> None:
    """Show what would be made in the CRMs; make it with --apply. Nothing is deleted without --prune."""
    from sync.commands import provision as body

    raise typer.Exit(body(config, apply=apply, prune=prune, as_json=json))


@app.command()
def run(
    config: Config = DEFAULT,
    only: Annotated[Only | None, typer.Option("--only", help="Stop after this step's own work.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show each field before and after; write none.")] = False,
    json: Json = False,
) -> None:
    """Make one pass now: accounts, pull, score, deliver."""
    from sync.commands import run as body

    raise typer.Exit(body(config, only=only.value if only else None, dry_run=dry_run, as_json=json))


@app.command()
def daemon(config: Config = DEFAULT) -> None:
    """Keep making passes as things fall due, until SIGTERM or Ctrl-C."""
    from sync.daemon import daemon as body

    body(config)


@app.command()
def status(config: Config = DEFAULT, json: Json = False) -> None:
    """Show the last passes, how far each source is read, what is matched, and rows that failed."""
    from sync.status import status as body

    body(config, as_json=json)


@app.command()
def deliveries(
    config: Config = DEFAULT,
    failed: Annotated[bool, typer.Option("--failed", help="Only records whose last try failed.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Have records that wait for a try be tried next.")] = False,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Read back what was written, and tell every difference.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="With --reconcile: repair what differs.")] = False,
    destination: Annotated[str | None, typer.Option("--destination", help="Only this one.")] = None,
    json: Json = False,
) -> None:
    """Show what became of every record's write: its state, why it failed, and what to do."""
    from sync.outcomes import Wish
    from sync.outcomes import deliveries as body

    raise typer.Exit(body(config, Wish(failed, retry, reconcile, apply, destination), as_json=json))


@app.command()
def explain(
    account: Annotated[str, typer.Argument(help="The account's id, or its name.")],
    config: Config = DEFAULT,
    since: Annotated[str | None, typer.Option("--since", help="Why the score moved since this day.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="With --since: up to this day; today by default.")
    ] = None,
    score: Score = "health",
    json: Json = False,
) -> None:
    """Show what an account's score is made of, why, and where it was written; or why it moved since a day."""
    if since is not None or until is not None:
        from sync.ledger import explain as ledger

        if score != "health":
            raise typer.BadParameter("why it moved since a day is told of health only", param_hint="--score")
        ledger(config, account, since=since, until=until, as_json=json)
        return
    from sync.explained import explain as body

    body(config, account, score=score, as_json=json)


judge = typer.Typer(no_args_is_help=True, help="Say what people know of an account: overrides, pulses and notes.")
app.add_typer(judge, name="judge")

Judged = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id, or its name.")]
By = Annotated[str, typer.Option("--by", help="Who says so.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; one line.")]
Until = Annotated[str | None, typer.Option("--until", help="Its last day, YYYY-MM-DD; judgements.default by default.")]


@judge.command("override")
def judge_override(
    account: Judged,
    tier: Annotated[str, typer.Option("--tier", help="green, yellow or red.")] = "",
    by: By = "",
    reason: Reason = "",
    until: Until = None,
    config: Config = DEFAULT,
    json: Json = False,
) -> None:
    """Put an account into a tier until a day; the model's score goes on beside it."""
    from sync.judging import override as body

    body(config, account, tier=tier, by=by, reason=reason, until=until, as_json=json)


@judge.command("pulse")
def judge_pulse(
    account: Judged,
    value: Annotated[str, typer.Option("--value", help="From 1 to 10; higher is healthier.")] = "",
    name: Annotated[str, typer.Option("--name", help="What measures take it by.")] = "csm.pulse",
    by: By = "",
    reason: Reason = "",
    on: Annotated[str | None, typer.Option("--on", help="The day it is about, YYYY-MM-DD; today by default.")] = None,
    config: Config = DEFAULT,
    json: Json = False,
) -> None:
    """Say how an account is doing, as a number that the scorecard can weigh."""
    from sync.judging import pulse as body

    body(config, account, value=value, name=name, by=by, reason=reason, on=on, as_json=json)


@judge.command("note")
def judge_note(
    account: Judged,
    by: By = "",
    reason: Reason = "",
    until: Until = None,
    silence: Annotated[bool, typer.Option("--silence", help="Raise no alarm meanwhile.")] = False,
    config: Config = DEFAULT,
    json: Json = False,
) -> None:
    """Say what should be known of an account until a day; no number changes."""
    from sync.judging import note as body

    body(config, account, by=by, reason=reason, until=until, silence=silence, as_json=json)


@judge.command("list")
def judge_list(
    account: Annotated[str | None, typer.Argument(help="The account's id, or its name; all by default.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what no longer counts.")] = False,
    config: Config = DEFAULT,
    json: Json = False,
) -> None:
    """Show the judgements that count today."""
    from sync.judging import listed as body

    body(config, account, everything=everything, as_json=json)


@judge.command("withdraw")
def judge_withdraw(
    id: Annotated[str, typer.Argument(metavar="ID", help="The judgement's number, from `judge list`.")],
    by: By = "",
    config: Config = DEFAULT,
    json: Json = False,
) -> None:
    """Take a judgement back; that it was made stays on record."""
    from sync.judging import withdraw as body

    body(config, id, by=by, as_json=json)


@app.command()
def scores(
    config: Config = DEFAULT,
    as_of: Annotated[str | None, typer.Option("--as-of", help="A day, YYYY-MM-DD; today by default.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Only this account, by its id or name.")] = None,
    score: Score = "health",
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that works the scores out.")] = False,
    told: Annotated[
        bool, typer.Option("--told", help="With --as-of: what was told that day, from the history.")
    ] = False,
    first: Annotated[str | None, typer.Option("--from", help="Replay the days from this one on.")] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="With --from: up to this day; the newest final one by default.")
    ] = None,
    scorecard: Annotated[
        str | None, typer.Option("--scorecard", help="With --from: by this file, preset or version that was used.")
    ] = None,
    parts: Annotated[bool, typer.Option("--parts", help="With --from: also what each score is made of.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="With --from: every day's rows into this file.")] = None,
    json: Json = False,
) -> None:
    """Work out scores from what is in the log, of a day or of a range of days, and print them. Writes nothing."""
    from sync.replay import Day, Range
    from sync.replay import scores as body

    days = Range(first, last, scorecard, parts, csv)
    body(config, Day(as_of, sql, told, score), days, account=account, as_json=json)


@scorecard.command()
def show(
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="VERSION|FILE",
            help="A version that was used (or its beginning), a file or a preset; by default those in the settings.",
        ),
    ] = None,
    config: Config = DEFAULT,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print it as a file that is read as the same version.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a scorecard says: weights, measures with their curves, caps and watch flags."""
    from sync.scorecards import show as body

    body(config, wanted, as_yaml=as_yaml, as_json=json)


@scorecard.command()
def diff(
    old: Annotated[
        str | None, typer.Argument(metavar="OLD", help="A version, a file or a preset; by default the one used last.")
    ] = None,
    new: Annotated[
        str | None, typer.Argument(metavar="NEW", help="Another; by default those in the settings, as they are now.")
    ] = None,
    config: Config = DEFAULT,
    json: Json = False,
) -> None:
    """Show in words what one scorecard says otherwise than another."""
    from sync.scorecards import diff as body

    body(config, old, new, as_json=json)


@scorecard.command()
def history(config: Config = DEFAULT, json: Json = False) -> None:
    """List every version that was used: when, for how many accounts, and what it changed."""
    from sync.scorecards import history as body

    body(config, as_json=json)


@app.command()
def erase(
    account: Annotated[str, typer.Argument(help="The account's id, its name, or the id of its record in a CRM.")],
    config: Config = DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    clear_crm: Annotated[bool, typer.Option("--clear-crm", help="First empty our fields on its CRM records.")] = False,
    readmit: Annotated[bool, typer.Option("--readmit", help="Let an erased customer (its id) come in again.")] = False,
    json: Json = False,
) -> None:
    """Remove all that is kept of one customer, keep it out, and look whether anything is left."""
    from sync import erase as body

    if readmit:
        raise typer.Exit(body.let_in(config, account))
    raise typer.Exit(body.run(config, account, yes=yes, clear_crm=clear_crm, as_json=json))


@app.command()
def sandbox(
    accounts: Annotated[int, typer.Option("--accounts", min=1, help="Customers in the simulated company.")] = 300,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another company.")] = 7,
    faults: Annotated[str, typer.Option("--faults", help="none, mild or storm.")] = "none",
    port: Annotated[int, typer.Option("--port", help="First of four ports; 0 takes free ones.")] = 8800,
    speed: Annotated[float, typer.Option("--speed", help="How many times as fast as real time it lives.")] = 1.0,
    start: Annotated[
        str | None, typer.Option("--start", help="The moment it begins to live at; now by default.")
    ] = None,
) -> None:
    """Serve Zendesk, Mixpanel, Salesforce and HubSpot stand-ins on loopback, and print a settings file for them."""
    from sync.rehearsal import sandbox as body

    body(accounts=accounts, seed=seed, faults=faults, port=port, speed=speed, start=start)


@app.command()
def demo(
    accounts: Annotated[int, typer.Option("--accounts", min=10, help="Customers in the simulated company.")] = 300,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another company.")] = 7,
    days: Annotated[int, typer.Option("--days", min=1, max=60, help="Simulated days to live.")] = 14,
) -> None:
    """Do the whole job on a simulated company, start to end, in a temporary folder."""
    from sync.rehearsal import demo as body

    raise typer.Exit(body(accounts=accounts, seed=seed, days=days))
