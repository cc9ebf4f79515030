"""What is known of every request, by number: arrays that the engine and the policies share."""

from __future__ import annotations

import numpy as np

from placement.question.requests import Requests

from .kernels.events import FloatArray, IntArray

NOWHERE = -1


class Ledger:
    """State of the requests.

    Attributes
    ----------
    prompt, output : int array (R,)
        Tokens.
    cached : int array (R,)
        Tokens in the cache.
    target : int array (R,)
        Tokens that must be in the cache before the next one can be sampled; more than the prompt after a preemption.
    made : int array (R,)
        Output tokens made.
    held : int array (R,)
        Cache blocks, or whatever unit a policy reserves in.
    chain : int array (R,)
        Instance that serves it.
    arrival_s, begun_s, first_s, finish_s : array (R,)
        Arrival, first pass, first and last token at the client; NaN until then.
    preempted : int array (R,)
        How often it lost its cache.
    refused : int array (R,)
        1: it could never fit.
    """

    def __init__(self, requests: Requests) -> None:
        number = requests.number
        self.requests = requests
        self.prompt: IntArray = requests.prompt_tokens.astype(np.int64)
        self.output: IntArray = requests.output_tokens.astype(np.int64)
        self.cached: IntArray = np.zeros(number, dtype=np.int64)
        self.target: IntArray = self.prompt.copy()
        self.made: IntArray = np.zeros(number, dtype=np.int64)
        self.held: IntArray = np.zeros(number, dtype=np.int64)
        self.chain: IntArray = np.full(number, NOWHERE, dtype=np.int64)
        self.arrival_s: FloatArray = requests.arrival_s.copy()
        self.begun_s: FloatArray = np.full(number, np.nan)
        self.first_s: FloatArray = np.full(number, np.nan)
        self.finish_s: FloatArray = np.full(number, np.nan)
        self.preempted: IntArray = np.zeros(number, dtype=np.int64)
        self.refused: IntArray = np.zeros(number, dtype=np.int64)

    @property
    def number(self) -> int:
        """How many requests there are."""
        return len(self.prompt)

    def longest(self, request: int) -> int:
        """Tokens of cache at its last step."""
        return int(self.prompt[request] + self.output[request]) - 1
