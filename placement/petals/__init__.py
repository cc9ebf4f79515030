"""A planner for Petals swarms: placements for servers, chains for clients, put in place at run time.

Importable without Petals; what needs it imports it when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .patching import Installed


def install(
    *,
    client: bool = True,
    server: bool = False,
    preference: float = 0.0,
    replay: bool = False,
) -> Installed:
    """Put our chains (`client`) and our placement (`server`) in place of Petals' own, in this process.

    Call it before a model or a server is made. No file of Petals is changed; `Installed.undo` takes all of it back.

    Parameters
    ----------
    preference : float
        0 for the least latency, 1 for the most throughput, between them a weighing of their logarithms.
    replay : bool
        Also mend the replay of a session's history, without which a session fails after one of its servers is lost.
    """
    from .patching import put_in_place  # Petals comes with it

    return put_in_place(client=client, server=server, preference=preference, replay=replay)
