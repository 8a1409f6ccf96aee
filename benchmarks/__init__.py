"""What `make bench` runs: Handrail beside the floors under it. The product knows nothing of it."""
