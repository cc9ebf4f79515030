"""The cheapest nodes that reach a target: sets in the order of their price, each decided by a search that stops early.

    incumbent = the cheapest set of equal nodes that reaches the target
    for every set of at most `most` nodes that is cheaper, the cheapest first:
        no, if the bound on the target's term says so or memory is lacking; yes, if a plan reaches it: the answer

Where every cheaper set was refused by a proof, the answer is the cheapest one of this space.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from objectives.clock import clock

from ..catalog import hardware
from ..errors import InfeasibleError, InputError, NotFoundError
from ..kinds.asked import Asked, ask
from ..optimize import Search, answer
from ..plan.plan import Plan
from ..question.model import Model
from ..readers import units
from ..search.stop import Progress
from .targets import Target

EXACTLY = 1e-9
LEAST_S, MOST_S = 0.2, 3.0
CHEAPER = 1e-9
Show = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of node that can be had: its entry in a cluster file, $/h of one, and how many there are at most."""

    name: str
    entry: Mapping[str, Any]
    price_per_hour: float
    most: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be sized.

    Attributes
    ----------
    data : mapping
        A cluster file; its own nodes cost nothing more.
    targets : tuple of Target
        The first one is the objective, the others are limits.
    candidates : tuple of Candidate
    budget_per_hour : float
        $/h that may be added.
    most : int
        Nodes that may be added.
    whole : bool
        The nodes of the file do not count: a whole cluster is sought.
    model : Model or None
        The model of the file, where it was read already.
    """

    data: Mapping[str, Any]
    targets: tuple[Target, ...]
    candidates: tuple[Candidate, ...]
    budget_per_hour: float = float("inf")
    most: int = 8
    whole: bool = False
    model: Model | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """The answer.

    Attributes
    ----------
    chosen : tuple of (str, int)
        Names and counts of what is added; empty where nothing need be.
    price_per_hour : float
    plan : Plan or None
        None: no set reaches the target.
    proven : bool
        That no cheaper set reaches it, or, without a plan, that none does.
    tried, undecided : int
        Sets that were looked at; cheaper ones of which neither a plan nor a proof was found in their time.
    complete : bool
        Every cheaper set was looked at before the time was over.
    """

    chosen: tuple[tuple[str, int], ...]
    price_per_hour: float
    plan: Plan | None
    proven: bool
    tried: int
    undecided: int
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "status": "solved" if self.plan is not None else "infeasible" if self.proven else "not_found",
            "add": [{"name": name, "count": count} for name, count in self.chosen],
            "added_price_per_hour": self.price_per_hour if self.plan is not None else None,
            "proven_cheapest": self.proven and self.plan is not None,
            "sets_tried": self.tried,
            "sets_undecided": self.undecided,
            "every_cheaper_set_tried": self.complete,
            "plan": self.plan.to_dict() if self.plan is not None else None,
        }


def from_catalog(region: str | None, most: int) -> tuple[Candidate, ...]:
    """Every device of the catalog that somebody rents out."""
    place = {} if region is None else {"region": region}
    return tuple(
        Candidate(name, {"name": f"new-{name}", "device": name, **place}, device.price_per_hour, most)
        for name, device in hardware.devices().items()
        if device.price_per_hour > 0
    )


def from_nodes(data: Mapping[str, Any], where: str, region: str | None, most: int) -> tuple[Candidate, ...]:
    """The entries of a file with a key `nodes`; `count` says how many there are, else as many as one likes."""
    entries = data.get("nodes")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InputError("expected a list", f"{where}: nodes")
    found = []
    for k, entry in enumerate(entries):
        place = f"{where}: nodes[{k}]"
        name = str(entry.get("name", entry.get("device", "")))
        if not name:
            raise InputError("the key 'name' or 'device' is missing", place)
        price = _price(entry, place)
        rest = {key: value for key, value in entry.items() if key != "count"}
        count = entry.get("count", most)
        if not isinstance(count, int) or count < 1:
            raise InputError("expected a whole number of at least 1", f"{place}.count")
        if region is not None:
            rest.setdefault("region", region)
        found.append(Candidate(name, {**rest, "name": f"new-{name}"}, price, min(count, most)))
    return tuple(found)


def _price(entry: Mapping[str, Any], where: str) -> float:
    if "price" in entry:
        try:
            price = units.price_per_hour(entry["price"])
        except ValueError as error:
            raise InputError(str(error), f"{where}.price") from None
        return price
    try:
        price = hardware.device(str(entry["device"])).price_per_hour if "device" in entry else 0.0
    except InputError as error:
        raise error.under(f"{where}.device") from None
    if price <= 0:
        raise InputError("the key 'price' is missing, and the catalog knows no rent", where)
    return price


@dataclass
class Sizing:
    """One question of this kind while it is answered; sets are tuples of counts by candidate."""

    wanted: Wanted
    seconds: float
    seed: int = 0
    show: Show | None = None
    known: dict[tuple[int, ...], bool | None] = field(default_factory=dict)
    plans: dict[tuple[int, ...], Plan] = field(default_factory=dict)
    began: float = field(default_factory=clock.now)

    def answer(self) -> Sized:
        """The cheapest set, with or without a proof."""
        nothing = (0,) * len(self.wanted.candidates)
        enough = not self.wanted.whole and self.reaches(nothing)
        best = nothing if enough else self._equal_ones()
        limit = self.price(best) if best is not None else self.wanted.budget_per_hour
        complete = True
        for counts in self.sets():
            cost = self.price(counts)
            if cost > self.wanted.budget_per_hour or (best is not None and cost >= limit * (1.0 - CHEAPER)):
                break
            if self.left() <= 0:
                complete = False
                break
            if self.reaches(counts):
                best = counts
                break
        undecided = sum(1 for counts, known in self.known.items() if known is None and self._cheaper(counts, best))
        proven = complete and undecided == 0
        chosen = (
            ()
            if best is None
            else tuple(
                (candidate.name, count) for candidate, count in zip(self.wanted.candidates, best, strict=True) if count
            )
        )
        price = self.price(best) if best is not None else 0.0
        plan = self.plans[best] if best is not None else None
        return Sized(chosen, price, plan, proven, len(self.known), undecided, complete)

    def _cheaper(self, counts: tuple[int, ...], best: tuple[int, ...] | None) -> bool:
        return best is None or self.price(counts) < self.price(best)

    def _equal_ones(self) -> tuple[int, ...] | None:
        """The cheapest set of equal nodes that reaches the target, of those within the budget; half of the time."""
        candidates = self.wanted.candidates
        none = (0,) * len(candidates)
        rows = [
            (*none[:k], count, *none[k + 1 :])
            for k, candidate in enumerate(candidates)
            for count in range(1, candidate.most + 1)
        ]
        rows = [counts for counts in rows if self.price(counts) <= self.wanted.budget_per_hour]
        for counts in sorted(rows, key=self.price):
            if self.left() < self.seconds / 2:
                return None
            if self.reaches(counts):
                return counts
        return None

    def sets(self) -> Iterator[tuple[int, ...]]:
        """Every set of at most `most` nodes, the cheapest first; nothing at all first, where that is a cluster."""
        candidates = self.wanted.candidates
        queue = [(0.0, (0,) * len(candidates), 0)]
        while queue:
            _, counts, first = heapq.heappop(queue)
            if any(counts) or not self.wanted.whole:
                yield counts
            if sum(counts) == self.wanted.most:
                continue
            for k in range(first, len(candidates)):
                if counts[k] < candidates[k].most:
                    grown = (*counts[:k], counts[k] + 1, *counts[k + 1 :])
                    if self.price(grown) <= self.wanted.budget_per_hour:
                        heapq.heappush(queue, (self.price(grown), grown, k))

    def price(self, counts: Sequence[int]) -> float:
        """$/h of a set."""
        pairs = zip(self.wanted.candidates, counts, strict=True)
        return sum(candidate.price_per_hour * count for candidate, count in pairs)

    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (clock.now() - self.began)

    def reaches(self, counts: tuple[int, ...]) -> bool:
        """Whether a set reaches the target, as far as a search can tell in its share of the time."""
        if counts not in self.known:
            if self.show is not None:
                self.show(len(self.known), self._words(counts))
            self.known[counts] = self._decided(counts)
        return self.known[counts] is True

    def _words(self, counts: tuple[int, ...]) -> str:
        pairs = zip(self.wanted.candidates, counts, strict=True)
        return " + ".join(f"{count} x {candidate.name}" for candidate, count in pairs if count) or "what is there"

    def _decided(self, counts: tuple[int, ...]) -> bool | None:
        """Yes with a plan, no with a proof, or None."""
        first = self.wanted.targets[0]
        share = min(MOST_S, max(LEAST_S, self.left() / 8))
        try:
            asked = self.asked(counts)
            terms = asked.kind.terms
            cost = terms.minimised(first.term, first.value)
            search = Search("auto", share, self.seed, stop=decided(cost), simplest=False)
            plan = answer(asked, search).plan
        except InfeasibleError:
            return False
        except NotFoundError:
            return None
        found = terms.minimised(first.term, plan.objective.value)
        if found <= cost * (1.0 + EXACTLY):
            self.plans[counts] = plan
            return True
        bound = plan.objective.bound
        if plan.objective.proven_optimal or (bound is not None and terms.minimised(first.term, bound) > cost):
            return False
        return None

    def asked(self, counts: Sequence[int]) -> Asked:
        """The question with these nodes more."""
        wanted = self.wanted
        entries = [] if wanted.whole else list(wanted.data["nodes"])
        for candidate, count in zip(wanted.candidates, counts, strict=True):
            if count:
                entries.append({**candidate.entry, **({"count": count} if count > 1 else {})})
        first, *others = wanted.targets
        limits = {target.term: target.value for target in others}
        # One pipeline where the file says nothing: a short look at several proves nothing about a set.
        return ask(wanted.model, {"copies": 1, **wanted.data, "nodes": entries}, objective=first.term, limits=limits)


def decided(cost: float) -> Callable[[Progress], bool]:
    """Stop as soon as a plan reaches a cost, or it is proven that none does."""

    def stop(progress: Progress) -> bool:
        return (progress.violation == 0 and progress.cost <= cost) or progress.bound > cost * (1.0 + EXACTLY)

    return stop


def sized(wanted: Wanted, *, seconds: float, seed: int = 0, show: Show | None = None) -> Sized:
    """Find the cheapest nodes that reach the targets.

    Parameters
    ----------
    wanted : Wanted
    seconds : float
        Of search.
    seed : int
    show : callable, optional
        Told how many sets were looked at, and of the next one.

    Raises
    ------
    InputError
        The file or a candidate is wrong.
    """
    if not wanted.candidates:
        raise InputError("expected at least one kind of node to choose from", "--from")
    return Sizing(wanted, seconds, seed, show).answer()


def region_of(data: Mapping[str, Any]) -> str | None:
    """Where nodes are added: in the region of the first node, or of the client."""
    entries = data.get("nodes") or [{}]
    found = entries[0].get("region") or (data.get("client") or {}).get("region")
    return str(found) if found is not None else None
