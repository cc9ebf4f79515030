"""Compiled moves and loops of the search. Every encoding gives the loops four functions; see `encoding.py`."""

from pathlib import Path

import objectives.kernels
from objectives.kernels.jit import compiler

kernel = compiler(Path(objectives.kernels.__file__).parent, Path(__file__).parent)
