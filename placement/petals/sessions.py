"""What is put around Petals' sessions: clocks, the count of open sessions, and the mended replay.

The replay. After a lost server Petals opens a session with another one and hands it the history of the lost one, which
holds the inputs of the present step already, while the new session stands at position 0: its own check fails ("Broken
input cache"). And where several servers replace one, those after the first send on the whole history, which the next
server, that lost nothing, takes for new tokens. Mended: a server session knows the position of the step, from outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any


@dataclass(frozen=True, slots=True)
class Now:
    """The step that is being made: whose it is, tokens before it, tokens in it."""

    manager: Any
    position: int
    fresh: int


NOW: ContextVar[Now | None] = ContextVar("placement_petals_step", default=None)


def step(original: Callable[..., Any]) -> Callable[..., Any]:
    """Around `InferenceSession.step`: say where the step stands."""

    @wraps(original)
    def wrapped(self: Any, inputs: Any, *words: Any, **named: Any) -> Any:
        token = NOW.set(Now(self._sequence_manager, int(self._position), int(inputs.shape[1])))
        try:
            return original(self, inputs, *words, **named)
        finally:
            NOW.reset(token)

    return wrapped


def update(original: Callable[..., Any]) -> Callable[..., Any]:
    """Around `InferenceSession._update_sequence`: tell the manager which servers the session is on."""

    @wraps(original)
    def wrapped(self: Any, *words: Any, **named: Any) -> Any:
        found = original(self, *words, **named)
        changed = getattr(self._sequence_manager, "session_changed", None)
        if changed is not None:
            changed(id(self), [session.span for session in self._server_sessions])
        return found

    return wrapped


def close(original: Callable[..., Any]) -> Callable[..., Any]:
    """Around `InferenceSession.close`: the session loads nobody any more."""

    @wraps(original)
    def wrapped(self: Any, *words: Any, **named: Any) -> Any:
        closed = getattr(getattr(self, "_sequence_manager", None), "session_closed", None)
        if closed is not None:
            closed(id(self))
        return original(self, *words, **named)

    return wrapped


def server_step(original: Callable[..., Any], joined: Callable[..., Any], *, replay: bool) -> Callable[..., Any]:
    """Around `_ServerInferenceSession.step`: take its time, and mend the replay if that is wanted.

    Parameters
    ----------
    joined : callable
        Puts two tensors together along the tokens.
    """

    @wraps(original)
    def wrapped(self: Any, inputs: Any, *words: Any, **named: Any) -> Any:
        now = NOW.get()
        if now is None:
            return original(self, inputs, *words, **named)
        if replay:
            inputs = whole(self, inputs, now, joined)
        alone = bool(self.stepped) and inputs.shape[1] == 1
        began = time.perf_counter()
        found = original(self, inputs, *words, **named)
        observed = getattr(now.manager, "observed", None)
        if alone and observed is not None:
            observed(self.span, time.perf_counter() - began)
        return found

    return wrapped


def whole(session: Any, inputs: Any, now: Now, joined: Callable[..., Any]) -> Any:
    """Inputs that a server session needs: the new tokens, or everything from the first one on for a fresh one."""
    if session.stepped:
        return inputs[:, -now.fresh :]
    if inputs.shape[1] != now.position + now.fresh:
        before = session.history[:, : now.position] if session.history is not None else inputs[:, :0]
        inputs = joined(before, inputs[:, -now.fresh :])
    session.history = None  # the original puts down what it is given
    return inputs
