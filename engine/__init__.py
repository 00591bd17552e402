"""Settings, errors, memory and jobs."""
