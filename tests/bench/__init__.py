"""What tracking costs, measured: ``python -m tests.bench [--quick]``."""
