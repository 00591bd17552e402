"""What aqe runs under the project's own Python: harness, probes, mutants, search and the pytest plugin.

Pure standard library, Python 3.9 syntax, relative imports only; nothing here may import the rest of aqe.
"""
