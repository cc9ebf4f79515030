"""The names by which checkpoints call the modules of a model, and lists of such names: exact, globs, expressions."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from .mixes import Place
from .parts import Part

PREFIXES = ("model.", "model.language_model.", "language_model.model.", "language_model.", "transformer.", "")
"""What stands before `layers.0` in checkpoints of one architecture or another."""

_ATTENTION = {
    "q": ("q_proj", "q_a_proj", "q_b_proj"),
    "k": ("k_proj",),
    "v": ("v_proj",),
    "qkv": ("qkv_proj",),
    "kv_a": ("kv_a_proj_with_mqa",),
    "kv_b": ("kv_b_proj",),
    "o": ("o_proj",),
}
_FFN = {"gate": ("gate_proj", "w1"), "up": ("up_proj", "w3"), "down": ("down_proj", "w2")}
_FUSED = re.compile(r"experts\.(gate_up_proj|down_proj)")
_LONGEST, _MOST_PATTERNS, _MOST_WILDCARDS = 200, 200, 3
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_WILDCARD = re.compile(r"(?:\.|\]|\\[a-zA-Z])[*+{]")
"""A repeated group, or many repeated wildcards: such an expression can take a very long time."""


def stems(part: Part, at: Place) -> tuple[str, ...]:
    """Return the names of the modules that hold `part`, from `layers.` on."""
    if part.name:
        return _unfused(part.name.removesuffix(".weight"))
    if part.role in ("embed", "head"):
        return ("embed_tokens", "wte") if part.role == "embed" else ("lm_head",)
    layer = f"layers.{at.layer}"
    if part.role in _ATTENTION:
        return tuple(f"{layer}.self_attn.{name}" for name in _ATTENTION[part.role])
    if part.role == "router":
        return (f"{layer}.mlp.gate", f"{layer}.mlp.router", f"{layer}.block_sparse_moe.gate")
    names = _FFN.get(part.role, (part.role,))
    inside: tuple[str, ...]
    if part.routed:
        inside = ("mlp.experts.0", "block_sparse_moe.experts.0", "mlp.experts")
    else:
        inside = ("mlp.shared_experts", "mlp.shared_expert") if at.sparse else ("mlp",)
    return tuple(f"{layer}.{where}.{name}" for where in inside for name in names)


def _unfused(name: str) -> tuple[str, ...]:
    """Return the names of the matrices that a module of stacked experts stands for."""
    found = _FUSED.search(name)
    if not found:
        return (name,)
    before = name[: found.start()]
    inner: tuple[str, ...] = ("gate", "up") if "up" in found.group(1) else ("down",)
    return (name, *(f"{before}experts.0.{part}" for role in inner for part in _FFN[role]))


@dataclass(frozen=True)
class NameList:
    """Modules that a checkpoint names.

    Attributes
    ----------
    exact : frozenset of str
        Names of modules; what lies inside of one belongs to it.
    starts : tuple of str
        What the names of modules begin with.
    patterns : tuple of re.Pattern
        Expressions and globs.
    dropped : tuple of str
        Expressions that are not used: broken, too many, or too costly to try.
    """

    exact: frozenset[str] = frozenset()
    starts: tuple[str, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = field(default=())
    dropped: tuple[str, ...] = field(default=())

    @cached_property
    def ends(self) -> frozenset[str]:
        """First and last words of the exact names: a name that neither begins nor ends like this is none of them."""
        return frozenset(word for name in self.exact for word in (name.split(".")[0], name.split(".")[-1]))

    def __bool__(self) -> bool:
        return bool(self.exact or self.starts or self.patterns)

    def holds(self, names: Iterable[str]) -> bool:
        """Tell whether any of `names` (from `layers.` on, or whole) is in the list."""
        for name in names:
            for prefix in PREFIXES:
                if self._holds(prefix + name):
                    return True
        return False

    def _holds(self, name: str) -> bool:
        if name.startswith(self.starts):
            return True
        for pattern in self.patterns:
            if pattern.match(name):
                return True
        if name[: name.find(".")] in self.ends or name[name.rfind(".") + 1 :] in self.ends or name in self.ends:
            return self._lists(name)
        return False

    def _lists(self, name: str) -> bool:
        """Whether the list has the name, one that it lies inside of, or one that it ends with."""
        dot = name.find(".")
        while dot >= 0:
            if name[:dot] in self.exact or name[dot + 1 :] in self.exact:
                return True
            dot = name.find(".", dot + 1)
        return name in self.exact


def name_list(entries: Iterable[object]) -> NameList:
    """Return the list that entries of a configuration make: `re:` expressions, globs with `*`, or names."""
    exact: set[str] = set()
    starts: list[str] = []
    patterns: list[re.Pattern[str]] = []
    dropped: list[str] = []
    for entry in entries:
        text = str(entry)
        if not set(text) & set("*?[\\^$(") and not text.startswith("re:"):
            exact.add(text.removesuffix("."))
        elif _is_glob(text) and text.endswith("*") and not set(text[:-1]) & set("*?["):
            starts.append(text[:-1])
        elif (found := _compiled(text)) is not None and len(patterns) < _MOST_PATTERNS:
            patterns.append(found)
        else:
            dropped.append(text)
    return NameList(frozenset(exact), tuple(starts), tuple(patterns), tuple(dropped))


def _is_glob(text: str) -> bool:
    return not text.startswith(("re:", ".*")) and not set(text) & set("\\^$(")


def _compiled(text: str) -> re.Pattern[str] | None:
    source = fnmatch.translate(text.removesuffix("*") + "*") if _is_glob(text) else text.removeprefix("re:")
    costly = _REPEATED_GROUP.search(source) or len(_WILDCARD.findall(source)) > _MOST_WILDCARDS
    if len(text) > _LONGEST or (costly and not _is_glob(text)) or text.count("*") > _MOST_WILDCARDS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of sets within sets, which no name of a module needs
            return re.compile(source)
    except (re.error, RecursionError, OverflowError):
        return None
