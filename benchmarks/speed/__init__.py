"""Speed: evaluations a second, import and first-plan time, memory; run ``pytest benchmarks/speed``, never a test."""
