"""What a question leaves open: the first format that fits, the longest context, the most sequences."""

from __future__ import annotations

from typing import Any

import pytest

from placement import optimize
from placement.errors import InfeasibleError, InputError
from placement.readers.cluster.read import read_request

CARD: dict[str, Any] = {"name": "gpu", "memory": "12 GiB", "compute": "50 TFLOP/s", "memory_bandwidth": "360 GB/s"}


def asked(
    memory: str = "12 GiB", formats: list[str] | str = "q8_0", model: Any = "llama-3.1-8b", **work: Any
) -> dict[str, Any]:
    """Llama-3.1-8B on one card."""
    return {
        "model": model,
        "quantization": formats,
        "workload": {"output_tokens": 256, **work},
        "nodes": [{**CARD, "memory": memory}],
    }


@pytest.mark.parametrize(("memory", "chosen"), [("24 GiB", "q8_0"), ("8 GiB", "q5_k_m"), ("5.5 GiB", "q4_k_m")])
def test_the_first_format_that_fits(memory: str, chosen: str) -> None:
    """Formats are tried in the order of the file; the one that is taken is told."""
    plan = optimize(None, asked(memory, ["q8_0", "q5_k_m", "q4_k_m"], context=4096), time_limit=2).plan
    assert any(note.startswith(f"quantization: {chosen} is the first") for note in plan.notes)


def test_the_longest_context_fits_and_a_longer_one_does_not() -> None:
    """The context that was found leaves no room for a sixteenth more."""
    plan = optimize(None, asked(context="max"), time_limit=2).plan
    told = next(note for note in plan.notes if note.startswith("context: "))
    context = int(told.split()[1].replace(",", ""))
    assert optimize(None, asked(context=context), time_limit=2).plan.status == "solved"
    with pytest.raises(InfeasibleError):
        optimize(None, asked(context=context * 17 // 16), time_limit=2)


def test_the_longest_context_is_one_that_the_model_was_made_for() -> None:
    """Where memory would hold more, the model ends it, exactly; the note says so."""
    plan = optimize(None, asked("40 GiB", context="max"), time_limit=2).plan
    told = next(note for note in plan.notes if note.startswith("context: "))
    assert told == "context: 131,072 tokens, prompt and output, are what llama-3.1-8b was made for; they fit"


def test_a_model_that_does_not_say_what_it_was_made_for() -> None:
    """Memory alone ends the context of blocks inline without the key, and a note says so; the key ends it."""
    layer = {"name": "layer", "repeat": 2, "weights": "1 GB", "kv_per_token": "100 kB", "activation_per_token": "8 kB"}
    for stated, ending in (({}, "the model may be made for fewer"), ({"context": 2048}, "made for; they fit")):
        plan = optimize(None, asked(model={"blocks": [layer], **stated}, context="max"), time_limit=2).plan
        assert next(note for note in plan.notes if note.startswith("context: ")).endswith(ending)


@pytest.mark.parametrize(("model", "tokens", "more"), [("llama-2-7b", 5000, 4096), ("qwq-32b", 65536, 40960)])
def test_more_than_the_model_was_made_for_is_planned_with_a_note(model: str, tokens: int, more: int) -> None:
    """A number is taken as it stands; the note names the model's own."""
    request = read_request(asked(model=model, context=tokens))
    assert request.workload.context_tokens == tokens
    assert any(f"more than the {more:,} that {model} was made for" in note for note in request.cluster.notes)
    fewer = read_request(asked(model=model, context=more)).cluster.notes
    assert not any("was made for" in note for note in fewer)


def test_the_most_sequences_have_room_for_their_caches() -> None:
    """All of them are in flight, and memory is not there for an eighth more."""
    data = asked("16 GiB", context=2048, concurrency="max")
    assert read_request(data).objective.single == "throughput"
    plan = optimize(None, data, time_limit=2).plan
    sequences = int(plan.figures["in_flight"])
    assert sequences > 8
    more = optimize(None, asked("16 GiB", context=2048, concurrency=sequences * 9 // 8 + 1), time_limit=2).plan
    assert more.figures["in_flight"] < sequences * 9 // 8 + 1


def test_nothing_fits() -> None:
    """No format at all is said in one line."""
    with pytest.raises(InfeasibleError, match="for any quantization of q8_0, q4_k_m"):
        optimize(None, asked("2 GiB", ["q8_0", "q4_k_m"], context=512), time_limit=2)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        ({"context": "most"}, r"workload\.context: expected max, or a whole number of at least 1, got 'most'"),
        ({"context": 100}, r"workload\.context: expected more than the 256 output tokens, got 100"),
        ({"context": 4096, "prompt_tokens": 10}, r"workload\.context: expected context or prompt_tokens, got both"),
        ({"concurrency": 0}, r"workload\.concurrency: expected max, or a whole number"),
    ],
)
def test_mistakes_are_told_in_one_line(work: dict[str, Any], told: str) -> None:
    """The key path, what was expected, what was found."""
    with pytest.raises(InputError, match=told):
        read_request(asked(**work))


def test_the_most_sequences_are_those_of_the_plan() -> None:
    """Several pipelines, which may serve more with fewer sequences, are not what the most sequences are asked of."""
    nodes = [{**CARD, "name": "a", "count": 2, "host": "pc", "memory": "24 GiB"}]
    data = asked(context=2048, concurrency="max") | {"nodes": nodes}
    plan = optimize(None, data, time_limit=1).plan
    assert f"concurrency: {plan.figures.in_flight:.0f} sequences are the most that were found to fit" in plan.notes
    assert not plan.chains
