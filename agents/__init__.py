"""Agents and the gate that judges every test, handed out lazily so that the pytest plugin costs nothing."""
