"""Broken inputs at every door: seeded mutations, a guard around each, and the shortest input that still fails.

    python -m benchmarks.robustness --inputs 2000 --seed 1 --keep broken/

An input fails when the command line answers with an internal error, hangs, takes a gigabyte, leaves with a wrong exit
code, says more than a line should, says what a terminal would obey, or writes a number that is none.
"""
