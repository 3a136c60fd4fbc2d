"""``python -m tests.chaos``: chaos runs from the command line; docs/chaos.md explains the output."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import click

from holonstream.ops import logs
from tests.chaos.losses import LOSSES
from tests.chaos.report import summary
from tests.chaos.run import Run
from tests.chaos.variants import QUERIES
from tests.fix_signals import interrupt_on_sigterm

HOUR = 3600.0
SEEDS = "1,2,3,4,5,6"


@click.command()
@click.option("--seed", type=int, help="One seed, for the whole duration.")
@click.option("--seeds", default=SEEDS, show_default=True, help="Seeds that share the duration, without --seed.")
@click.option("--duration", default=HOUR, show_default=True, type=click.FloatRange(10), help="Seconds of load, in all.")
@click.option("--rate", default=100.0, show_default=True, type=click.FloatRange(1), help="Events a second.")
@click.option("--variant", type=click.Choice(sorted(QUERIES)), help="A relay with a defect, which must be detected.")
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True, help="Brokers of Kafka.")
@click.option("--loss", type=click.Choice([*LOSSES, "none"]), help="What is lost at the end.  [default: by the seed]")
@click.option(
    "--evidence", type=click.Path(path_type=Path), help="Where evidence is kept; a temporary folder by default."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    seed: int | None,
    seeds: str,
    duration: float,
    rate: float,
    variant: str | None,
    brokers: str,
    loss: str | None,
    evidence: Path | None,
    as_json: bool,
) -> None:
    """Run the pipeline under load and faults, and check its promises; exits with 1 on any violation."""
    logs.configure("info", "console")
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)  # broken connections are expected here
    interrupt_on_sigterm()
    chosen = [int(one) for one in seeds.split(",")] if seed is None else [seed]
    home = evidence or Path(tempfile.mkdtemp(prefix="holonstream-chaos-"))
    reports = []
    for one in chosen:
        folder = home / (f"seed-{one}" + (f"-{variant}" if variant else ""))
        shutil.rmtree(folder, ignore_errors=True)
        lost = loss or LOSSES[one % len(LOSSES)]
        run = Run(
            one,
            duration / len(chosen),
            rate,
            variant,
            folder,
            int(brokers),
            None if lost == "none" or variant else lost,
        )
        report = run.perform()
        reports.append(report)
        if report.evidence is None:
            shutil.rmtree(folder, ignore_errors=True)
        click.echo("\n".join(report.lines()), err=as_json)
    found = summary(reports)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False, default=repr))
    elif len(reports) > 1:
        click.echo(f"all seeds: {found['events']:,} events, {found['faults_total']} faults, ", nl=False)
        click.echo(f"{found['violations_total']} violations")
    if found["violations_total"]:
        sys.exit(1)
    if evidence is None:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
