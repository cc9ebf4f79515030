"""Speed: evaluations a second, import and first-plan time, memory. Run with ``pytest benchmarks/speed``; never a test."""
