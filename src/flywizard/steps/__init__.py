"""The catalogue of steps, one module a concern."""
