"""One process, any block-to-device map: equal tokens inside the `with`, the same module behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from placement.errors import InputError
from placement.run import execute
from tests.run.tiny_models import greedy, plan_by_hand, some_prompts

Make = Callable[[str], Path]


def _load(folder: Path) -> Any:
    import transformers

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    return model.eval()


def _generate(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    import torch

    ids = torch.tensor(prompts)
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=0)
    return [[int(token) for token in row] for row in out[:, ids.shape[1] :]]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2_moe"])
def test_cpu_and_disk_in_any_order(tiny_model: Make, kind: str) -> None:
    """Blocks alternate between memory and disk; the tokens are those of the plain model, before, within and after."""
    folder, prompts = tiny_model(kind), some_prompts(2)
    model = _load(folder)
    expected = greedy(folder, prompts, 6)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plan = plan_by_hand(("ram", 0, 2), ("ssd", 2, 3), ("ram", 3, 4), ("ssd", 4, 5), ("ram", 5, 6))
    with execute(plan, model, devices={"ram": "cpu", "ssd": "disk"}) as placed:
        assert any(tensor.is_meta for tensor in model.parameters())
        assert _generate(placed, prompts) == expected
    assert _generate(model, prompts) == expected
    after = model.state_dict()
    assert all((after[name] == tensor).all() for name, tensor in before.items())
    assert "hf_device_map" not in model.__dict__
    assert not any(hasattr(module, "_hf_hook") for module in model.modules())


def test_tied_weights_stay_tied(tiny_model: Make) -> None:
    """The head is still the embedding behind the `with`."""
    model = _load(tiny_model("llama"))
    together, apart = (("cpu", 0, 1), ("disk", 1, 5), ("cpu", 5, 6)), (("cpu", 0, 2), ("disk", 2, 6))
    for spans in (together, apart):
        with execute(plan_by_hand(*spans), model):
            assert _generate(model, some_prompts(1)) == greedy(tiny_model("llama"), some_prompts(1), 6)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_error_inside_restores_too(tiny_model: Make) -> None:
    """Whatever happens within, the module is as before."""
    model = _load(tiny_model("gpt2"))
    with pytest.raises(ZeroDivisionError), execute(plan_by_hand(("disk", 0, 6)), model):
        1 / 0  # noqa: B018
    assert not any(tensor.is_meta for tensor in model.parameters())


def test_mistakes(tiny_model: Make) -> None:
    """Nodes that are no devices, devices that are not there."""
    model = _load(tiny_model("llama"))
    with pytest.raises(InputError, match="no device"), execute(plan_by_hand(("tower", 0, 6)), model):
        pass
    with pytest.raises(InputError, match="CUDA"), execute(plan_by_hand(("cuda:9", 0, 6)), model):
        pass
