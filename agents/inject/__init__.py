"""The folder that is put on a project's path: `_aqe_inject`, pure standard library in Python 3.9 syntax."""
