"""Persistent memory."""
