"""What a parameter is in its layer, by its name and shape: the role that number formats ask for, and the part."""

from __future__ import annotations

import re

_ROLES: tuple[tuple[str, str], ...] = (
    ("router", r"(^|\.)(gate|gating)(\.(weight|proj\.weight|layer\.weight))$|router|shared_expert_gate"),
    ("qkv", r"(qkv|query_key_value|c_attn|Wqkv|att_proj|pack)"),
    ("kv_a", r"(kv_a_proj|kv_down)"),
    ("kv_b", r"(kv_b_proj|kv_up)"),
    ("q", r"(^|[._])(q|query|wq|q_proj|q_[ab]_proj)([._]|$)"),
    ("k", r"(^|[._])(k|key|wk|k_proj)([._]|$)"),
    ("v", r"(^|[._])(v|value|wv|v_proj)([._]|$)"),
    ("conv", r"conv"),
    ("o", r"(^|[._])(o|o_proj|out_proj|wo|dense|out|c_proj|o_[ab]_proj)([._]|$)"),
)
_FFN: tuple[tuple[str, str], ...] = (
    ("down", r"(down|w2|fc2|c_proj|4h_to_h|dense_out|output|fc_out|wo|lin2|ff_proj_out|out_proj)"),
    ("gate", r"(gate_proj|w1($|\.))"),
)
_MIXER = re.compile(
    r"(^|[._])(\w*attn|\w*attention\w*|att|mamba\w*|mixer|ssm|conv\w*|temporal\w*|rnn|rg_lru|recurrent\w*|time_mix\w*|lru"
    r"|xlstm|mlstm\w*|linear_attn|kda|gdn)([._]|$)"
)
_EARLY_NORM = re.compile(
    r"(input_layernorm|pre_attention|attention_norm|attn_norm|operator_norm|ln_1|norm1|ln1|pre_norm)"
)
_STATE = re.compile(r"(A_log|(^|\.)D$|dt_bias|A_param|initial_state|decay|time_first)")


def role_of(name: str, dims: int, piece: str) -> str:
    """Return the role of a parameter.

    Parameters
    ----------
    name : str
        Its name within its layer.
    dims : int
        Number of its dimensions.
    piece : str
        The part of the layer that it belongs to.
    """
    if _STATE.search(name):
        return "state"
    if dims < 2:
        return "bias" if name.endswith(("bias", "sinks")) else "norm"
    for role, pattern in _ROLES if piece == "attention" else (_ROLES[0], *_FFN):
        if re.search(pattern, name):
            return role
    return "mixer" if piece == "attention" else "up"


def piece_of(name: str, dims: int, cached: frozenset[str]) -> str:
    """Return the part of a layer that a parameter belongs to, routed experts apart.

    Parameters
    ----------
    name : str
        Its name within its layer.
    dims : int
        Number of its dimensions.
    cached : frozenset of str
        Names of the modules of the layer, directly under it, that fill a cache; empty when none does.
    """
    first = name.partition(".")[0]
    if first in cached:
        return "attention"
    if first == "mixer" or not _MIXER.search(name.rpartition(".")[0]):
        early = dims < 2 and _EARLY_NORM.search(name) is not None
        return "attention" if early else "ffn"
    return "attention"
