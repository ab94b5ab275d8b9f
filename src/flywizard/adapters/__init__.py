"""Adapters: the only places that touch the world."""
