"""The wiring of a deployment. It may import every room; none may import it."""
