"""The one list of serving policies: it feeds the command line, the contract tests, the study and the docs.

A policy is one file and one line here; other packages register theirs under the entry point group
``placement.policies``, each a class whose fields are its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType
from typing import Any, cast

from placement.errors import InputError, nearest, shown
from placement.plugins import attribute, from_plugin, names

from .base import Policy


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a policy lives and what it does.

    Attributes
    ----------
    path : str
        ``module:Class``, the module relative to this package.
    summary : str
        One line for people.
    instances : int
        Chains side by side that it needs at least.
    """

    path: str
    summary: str
    instances: int = 1


GROUP = "placement.policies"
POLICIES: Mapping[str, Entry] = MappingProxyType(
    {
        "vllm": Entry(".vllm:Vllm", "paged caches, preemption, chunked prefill, prefixes shared"),
        "orca": Entry(".orca:Orca", "iteration-level scheduling, caches reserved per request: max, pow2, oracle"),
        "infinite": Entry(
            ".infinite:Infinite", "as vllm, caches of long sequences on other instances (DistAttention)", 2
        ),
        "disaggregated": Entry(".disaggregated:Disaggregated", "prompts and decode steps on different instances", 2),
        "request": Entry(".request:RequestLevel", "request-level batches, padded (FasterTransformer)"),
    }
)


def policy_names() -> list[str]:
    """Names of all policies."""
    return names(GROUP, POLICIES)


def make_policy(name: str, settings: Mapping[str, Any] = MappingProxyType({})) -> Policy:
    """Make a policy by name.

    Parameters
    ----------
    name : str
        Of `POLICIES`, or of a plugin.
    settings : mapping of str to object
        Its fields by name.

    Raises
    ------
    InputError
        Nobody has that name, or the policy has no such setting or refuses its value.
    """
    if name in POLICIES:
        maker = attribute(POLICIES[name].path, __name__)
    else:
        maker = from_plugin(GROUP, POLICIES, name, "policy")
    known = [field.name for field in fields(maker)] if is_dataclass(maker) else []
    for key in settings:
        if key not in known:
            hint = nearest(key, known) or (f" (known: {', '.join(known)})" if known else "")
            raise InputError(f"the policy '{name}' has no setting {shown(key)}{hint}", "policy")
    try:
        return cast(Policy, maker(**settings))
    except InputError as error:
        raise error.under(f"policy {name}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"the policy '{name}' refuses its settings: {error}", "policy") from None
