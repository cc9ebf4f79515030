"""The benchmark from end to end, on two instances; interruption and resumption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.instances import HERE, load
from benchmarks.quality import bench as harness
from benchmarks.quality import makers, store
from benchmarks.quality.bench import Options, bench, names_of
from benchmarks.quality.experiments import Experiment, Record, experiments, perform
from benchmarks.rivals import RIVALS
from placement.cli import run
from placement.errors import InputError
from placement.registry import SOLVERS
from placement.search.solvers.annealing import Annealing
from tests.entry_points import installed, of_the_sources
from tests.objectives.replicated.cases import make_case

pytestmark = pytest.mark.slow

TWO = ("classic-three-nodes", "home-lab-small")


@pytest.fixture(autouse=True)
def _of_the_sources() -> Iterator[None]:
    """`placement bench` is registered, also where the package is installed without it."""
    with installed(of_the_sources()):
        yield


def options(out: Path) -> Options:
    return Options(names=TWO, solvers=("annealing", "balanced", "deepspeed"), seeds=2, seconds=0.2, out=out, workers=1)


def test_end_to_end_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is written; what an interruption left undone is done next time, and nothing twice."""
    total = 2 * (2 + 1 + 1)

    def interrupt(done: int, _: int, __: Record) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(options(tmp_path), interrupt)
    path = tmp_path / "runs.csv"
    assert len(store.read(path)) == 3
    with path.open("a", encoding="utf-8") as file:
        file.write("classic-three-nodes,annea")  # a line that was cut short
    seen: list[Record] = []
    files = bench(options(tmp_path), lambda *arguments: seen.append(arguments[2]))
    assert len(seen) == total - 3
    records = store.read(path)
    assert len(records) == len({record.key for record in records}) == total
    assert {file.name for file in files} >= {"gaps.md", "gaps.csv", "bench.html", "profile.csv"}
    assert "classic-three-nodes" in (tmp_path / "gaps.md").read_text(encoding="utf-8")
    assert bench(options(tmp_path), lambda *_: pytest.fail("nothing is left to do"))


def test_records_survive_the_file(tmp_path: Path) -> None:
    instance = load(names=TWO[:1])[0]
    record = perform(Experiment(instance.name, str(instance.path), "annealing", 0.1, 1))
    assert record.status == "ok"
    writer = store.Writer(tmp_path / "runs.csv")
    writer.add(record)
    writer.close()
    assert store.read(tmp_path / "runs.csv") == [record]
    assert record.points()[-1][2] == record.cost


def test_refusals_and_failures_are_records(tmp_path: Path) -> None:
    path = str(HERE / "classic-three-nodes.yaml")
    assert perform(Experiment("classic-three-nodes", path, "nobody", 0.1, 0)).status == "failed"
    rate = perform(Experiment("kv-heads-small", str(HERE / "kv-heads-small.yaml"), "milp", 0.1, 0))
    assert rate.status == "refused"
    assert "decode_rate" in rate.note
    assert rate.cost == np.inf


def test_an_interrupted_run_is_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop returns its best plan on Ctrl-C; the benchmark must not take that for a whole run."""

    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(Annealing, "search", interrupted)
    with pytest.raises(KeyboardInterrupt):
        perform(Experiment(TWO[0], str(HERE / f"{TWO[0]}.yaml"), "annealing", 0.1, 0))


def test_seeds_are_for_those_that_draw() -> None:
    wanted = list(experiments(load(names=TWO), ("annealing", "exact", "pymoo-ga", "deepspeed"), 1.0, 3))
    assert len(wanted) == 2 * (3 + 1 + 3 + 1)


def test_rivals_name_what_they_need() -> None:
    for name, rival in RIVALS.items():
        assert rival.path.startswith("."), name
        if not rival.package:
            assert hasattr(rival.make(), "search")


@pytest.mark.parametrize("name", [name for name, rival in RIVALS.items() if rival.package])
def test_rivals_plan(name: str) -> None:
    """Each gives placements of all blocks, where its package is installed."""
    pytest.importorskip(RIVALS[name].package)
    if RIVALS[name].package == "accelerate":
        pytest.importorskip("torch")
    # CP-SAT ends when it has proven its answer; the others plan at once.
    case, seconds = ("classic-three-nodes", 60.0) if name == "cp-sat" else ("home-lab-small", 0.5)
    record = perform(Experiment(case, str(HERE / f"{case}.yaml"), name, seconds, 0))
    assert record.status == "ok", record.note


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"bench --only {TWO[0]} --solvers annealing,balanced --seeds 1 --seconds 0.1 --workers 1 --out {tmp_path}"
    assert run(words.split()) == 0
    assert (tmp_path / "bench.html").exists()
    assert run(["bench", "--solvers", "anealing", "--out", str(tmp_path)]) == 1
    assert "annealing" in capsys.readouterr().err


def test_reports_of_runs_made_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of several machines make one report; what cannot be compared or read is one clear line."""
    here, there = tmp_path / "here", tmp_path / "there"
    bench(Options(names=TWO[:1], solvers=("annealing",), seeds=1, seconds=0.1, out=here, workers=1))
    bench(Options(names=TWO[1:], solvers=("annealing", "balanced"), seeds=1, seconds=0.1, out=there, workers=1))
    files = [str(folder / "runs.csv") for folder in (here, there)]
    words = ["bench", "--report-only", files[0], "--report-only", files[1], "--out", str(tmp_path / "page")]
    assert run(words) == 0
    table = (tmp_path / "page" / "gaps.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in table for name in TWO)
    assert not (tmp_path / "page" / "runs.csv").exists()
    bench(Options(names=TWO[:1], solvers=("annealing",), seeds=1, seconds=0.2, out=here, workers=1))
    assert run(words) == 1
    assert "runs of 0.1 and 0.2 s cannot be compared" in capsys.readouterr().err
    assert run([*words, "--seconds", "0.2"]) == 0
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert run(["bench", "--report-only", str(tmp_path / "other.csv")]) == 1
    assert run(["bench", "--report-only", str(tmp_path / "nowhere.csv")]) == 1


def test_a_deadline_begins_no_more_runs(tmp_path: Path) -> None:
    notes: list[str] = []
    nothing = Options(names=TWO[:1], solvers=("annealing",), seeds=1, seconds=0.1, out=tmp_path, workers=1, minutes=0)
    with pytest.raises(InputError, match="no run"):
        bench(nothing, note=notes.append)
    assert "goes on from" in notes[0]


def test_groups_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group leaves out what is not installed and says so; a name that needs a missing package is an error."""
    monkeypatch.setattr(makers, "find_spec", lambda package: None if package == "pymoo" else object())
    names, left_out = makers.expand(["all"])
    assert set(left_out) == {name for name, rival in RIVALS.items() if rival.package == "pymoo"}
    assert {"auto", "cp-sat", "deepspeed"} <= set(names)
    assert len(names) + len(left_out) == len(SOLVERS) + len(RIVALS)
    with pytest.raises(InputError, match="needs the package pymoo"):
        makers.expand(["pymoo-ga"])


def test_a_folder_of_cases_and_cluster_files(tmp_path: Path) -> None:
    """Helix's format beside YAML: flow by searches and the mixed-integer model, pipelines by theirs, one table."""
    cases, out = tmp_path / "cases", tmp_path / "out"
    cases.mkdir()
    (cases / "swarm.json").write_text(json.dumps(make_case(1, nodes=5, blocks=5)), encoding="utf-8")
    (cases / "lab.yaml").write_text((HERE / "home-lab-small.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    words = (
        f"bench --instances {cases} --solvers auto,annealing,exact,milp,balanced --seeds 1 --seconds 0.5 --workers 1"
    )
    assert run([*words.split(), "--out", str(out)]) == 0
    status = {(record.instance, record.solver): record.status for record in store.read(out / "runs.csv")}
    assert all(status["lab", name] == "ok" for name in ("auto", "annealing", "exact"))
    assert all(status["swarm", name] == "ok" for name in ("auto", "annealing", "milp"))
    assert status["swarm", "exact"] == status["swarm", "balanced"] == "refused"
    flow = {r.solver: r for r in store.read(out / "runs.csv") if r.instance == "swarm" and r.status == "ok"}
    assert all(0 < record.bound <= record.cost * (1 + 1e-9) for record in flow.values())
    table = (out / "gaps.md").read_text(encoding="utf-8")
    assert "| swarm |" in table
    assert "| lab |" in table
    (cases / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not valid JSON"):
        bench(Options(instances=cases, out=out))


def test_names_and_quick() -> None:
    assert names_of("a, b,", ()) == ("a", "b")
    assert names_of(None, ["c"]) == ("c",)
    assert Options.quick(seeds=5).seeds == 5
    assert Options.quick(instances=Path("elsewhere")).names == ()
    assert {instance.name for instance in load(names=harness.QUICK_INSTANCES)} == set(harness.QUICK_INSTANCES)
    with pytest.raises(InputError, match="at least one seed"):
        bench(Options(seeds=0))
