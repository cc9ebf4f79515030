"""Traces of requests: when each came, how long its prompt and its answer were.

`read_trace` tells the format by what the file says: the Azure LLM inference traces (CSV), Mooncake's (a JSON object a
line, with hashes of the prompt's blocks), and files of lengths without times, as they are made of ShareGPT.
"""

from .read import read_trace

__all__ = ["read_trace"]
