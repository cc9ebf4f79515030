"""Put our parts in place of Petals' own at run time; nothing of its files is changed."""

from __future__ import annotations

from dataclasses import dataclass

from . import sessions
from .chooser import Chooser
from .client import HOOKS, manager_class
from .names import Patches, name, release
from .server import ServerRules

MANAGER = "petals.client.routing.sequence_manager"
SESSION = "petals.client.inference_session"
SELECTION = "petals.server.block_selection"
# Everything that we count on: checked before anything is replaced.
CLIENT_NAMES = (
    ("petals.client.remote_sequential", "RemoteSequenceManager"),
    (MANAGER, "MissingBlocksError"),
    ("petals.data_structures", "RemoteSpanInfo"),
    ("petals.utils.ping", "PingAggregator.ping"),
    (SESSION, "InferenceSession.step"),
    (SESSION, "InferenceSession._update_sequence"),
    (SESSION, "InferenceSession.close"),
    (SESSION, "_ServerInferenceSession.step"),
    *((MANAGER, f"RemoteSequenceManager.{hook}") for hook in HOOKS),
)
SERVER_NAMES = (
    (SELECTION, "choose_best_blocks"),
    (SELECTION, "should_choose_other_blocks"),
    ("petals.utils.dht", "compute_spans"),
    ("petals.data_structures", "ServerState.JOINING"),
)


@dataclass(frozen=True, slots=True)
class Installed:
    """What was put in place.

    Attributes
    ----------
    version : str
        Of Petals.
    rules : ServerRules or None
        The server's side.
    """

    version: str
    patches: Patches
    rules: ServerRules | None = None

    def undo(self) -> None:
        """Give Petals its own parts back; models that were made meanwhile keep theirs."""
        self.patches.undo()


def put_in_place(*, client: bool, server: bool, preference: float, replay: bool) -> Installed:
    """See `placement.petals.install`."""
    Chooser(preference)  # says what is wrong with it now, not when a model is made
    version = release()
    for module, dotted in (*(CLIENT_NAMES if client else ()), *(SERVER_NAMES if server else ())):
        name(version, module, dotted)
    patches, rules = Patches(version), None
    if client:
        _client(patches, preference, replay)
    if server:
        states, compute = name(version, "petals.data_structures", "ServerState"), "compute_spans"
        rules = ServerRules.of(name(version, "petals.utils.dht", compute), states.JOINING)
        patches.put(SELECTION, "choose_best_blocks", lambda _: rules.choose_best_blocks)
        patches.put(SELECTION, "should_choose_other_blocks", lambda _: rules.should_choose_other_blocks)
    return Installed(version, patches, rules)


def _client(patches: Patches, preference: float, replay: bool) -> None:
    import importlib

    version = patches.version
    missing, span = name(version, *CLIENT_NAMES[1]), name(version, *CLIENT_NAMES[2])
    patches.put(*CLIENT_NAMES[0], lambda base: manager_class(base, missing, span, preference))
    patches.put(SESSION, "InferenceSession.step", sessions.step)
    patches.put(SESSION, "InferenceSession._update_sequence", sessions.update)
    patches.put(SESSION, "InferenceSession.close", sessions.close)
    cat = importlib.import_module(SESSION).torch.cat

    def joined(first: object, second: object) -> object:
        return cat([first, second], dim=1)

    patches.put(SESSION, "_ServerInferenceSession.step", lambda step: sessions.server_step(step, joined, replay=replay))
