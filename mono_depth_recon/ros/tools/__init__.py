"""What is run beside a node: demo, recorder, benchmarks."""
