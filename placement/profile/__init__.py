"""Layer-cost profiler: analytic (a roofline) and measured."""
