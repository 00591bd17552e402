"""A folder for PYTHONPATH: what lies in it is imported by each Python process that a recorded test starts."""
