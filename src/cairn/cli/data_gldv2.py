"""``cairn data gldv2``: Google Landmarks v2 fetched, unpacked and made a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cairn.cli.manifests import finish, free
from cairn.cli.output import Json, emit
from cairn.errors import CairnError

if TYPE_CHECKING:
    from cairn.sources.gldv2 import Fetched, Plan


def gldv2(
    folder: Annotated[Path, typer.Argument(help="Where the data set is, or will be.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A manifest of what is there: .parquet or .csv.", callback=free
        ),
    ] = None,
    sets: Annotated[
        str,
        typer.Option(help="Of clean, 2x, train, index, test, nonlandmarks; comma-separated."),
    ] = "clean,test",
    only: Annotated[
        str | None, typer.Option(help="Numbers of tars, such as 0-9 or 3,7: a part of each set.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Make photographs smaller while unpacking: pixels of the shorter side."),
    ] = None,
    keep_tars: Annotated[
        bool, typer.Option("--keep-tars", help="Keep tars; else each is deleted once unpacked.")
    ] = False,
    parallel: Annotated[
        int, typer.Option(help="Tars fetched at once; 0 fetches nothing.", min=0)
    ] = 4,
    base: Annotated[
        str | None,
        typer.Option(help="Where it is published.", envvar="CAIRN_GLDV2_BASE"),
    ] = None,
    bank: Annotated[
        float | None,
        typer.Option(
            help="Share of the non-landmarks for the bank: by default all, or half beside test."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and the room it needs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch Google Landmarks v2, go on where it stopped, and make a manifest of what is there."""
    from cairn.progress import say
    from cairn.sources.gldv2 import choose, read_gldv2, require_one_label_space

    choice = choose(sets, only)
    if output is not None:
        require_one_label_space(choice, bank)  # before hours of downloading
    elif bank is not None:
        raise CairnError(
            "a share for the bank is for a manifest", where="--bank", todo="name it: -o"
        )
    facts: dict[str, Any] = {"folder": folder, "sets": list(choice.sets)}
    text = f"nothing was fetched (--parallel 0); name a manifest to make of {folder}: -o"
    if parallel or dry_run:
        from cairn.sources.gldv2 import BASE

        address = (base or BASE).rstrip("/")
        plan, done = _fetch(folder, choice, address, size, keep_tars, parallel or 1, dry_run)
        facts |= _planned(plan)
        if done is None:
            emit({**facts, "dry_run": True}, plan.text(), as_json=as_json)
            return
        done.require_all()
        facts |= _told(done)
        text = f"tars unpacked in {folder}: {done.num_tars:,}; photographs now: {done.num_images:,}"
        if done.unreadable:
            say(
                f"note: {len(done.unreadable):,} unreadable photographs were left out: ledger.jsonl"
            )
    if output is None:
        emit(facts, f"{text}\nnext: the same command with -o manifest.parquet", as_json=as_json)
        return
    found = read_gldv2(folder, choice, bank=bank)
    extra = {**facts, "num_missing": found.num_missing}
    finish(found.manifest, output, found.notes, extra, as_json=as_json)


def _fetch(
    folder: Path,
    choice: Any,
    base: str,
    size: int | None,
    keep_tars: bool,
    parallel: int,
    dry_run: bool,
) -> tuple[Plan, Fetched | None]:
    """Return the plan, and what became of it unless it was all that was wanted."""
    from cairn.fetch.client import Client
    from cairn.progress import say
    from cairn.sources.gldv2 import fetch, make_plan

    client = Client()
    try:
        plan = make_plan(
            client, folder, choice, base=base, size=size, keep_tars=keep_tars, parallel=parallel
        )
        if dry_run:
            return plan, None
        say(plan.text())
        plan.require_room(folder)
        return plan, fetch(client, folder, plan, base=base)
    except KeyboardInterrupt:
        client.halt.set()
        say("interrupted; the same command goes on from here")
        raise typer.Exit(130) from None


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "size": plan.size,
        "num_tars_to_fetch": len(plan.tars),
        "num_tables_to_fetch": len(plan.tables),
        "num_tars_done_before": plan.num_done,
        "num_tars_missing": len(plan.missing),
        "download_bytes": plan.download_bytes,
        "bytes_afterwards": plan.stays_bytes,
        "bytes_at_most": plan.peak_bytes,
        "bytes_free": plan.free,
    }


def _told(done: Fetched) -> dict[str, Any]:
    return {
        "num_tars": done.num_tars,
        "num_photographs_unpacked": done.num_images,
        "bytes_unpacked": done.num_bytes,
        "unreadable": done.unreadable,
    }
