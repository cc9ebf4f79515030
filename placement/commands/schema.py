"""`placement schema`: the JSON schema of a file that the other commands read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from ..files.entries import json_schema
from ..plan.reading import PlanEntry
from ..profile.measurements import Measurement
from ..readers.schema.file import ClusterFile
from ..readers.schema.fleet import FleetFile
from ..readers.schema.helix import HelixFile
from ..readers.schema.runs import RunLine
from ..readers.schema.swarm import SwarmFile
from .output import print_json


class Kind(StrEnum):
    """Files that have a schema."""

    cluster = "cluster"
    fleet = "fleet"
    swarm = "swarm"
    helix = "helix"
    runs = "runs"
    rates = "rates"
    plan = "plan"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(kind: Annotated[Kind, typer.Argument(help="Which file.")] = Kind.cluster) -> None:
    """Print the JSON schema of a file: a cluster, a fleet, a swarm, a case in Helix's format, runs, rates, a plan."""
    print_json(schema_of(kind))


def schema_of(kind: Kind) -> dict[str, Any]:
    """Return the JSON schema of a kind of file."""
    files = {
        Kind.cluster: (ClusterFile, "cluster.yaml"),
        Kind.fleet: (FleetFile, "fleet.json"),
        Kind.swarm: (SwarmFile, "swarm.yaml"),
        Kind.helix: (HelixFile, "case.json in Helix's format"),
        Kind.runs: (RunLine, "a line of runs.jsonl"),
        Kind.rates: (Measurement, "a row of a CSV of measured rates"),
        Kind.plan: (PlanEntry, "plan.json"),
    }
    return json_schema(*files[kind])
