"""The test generator."""
