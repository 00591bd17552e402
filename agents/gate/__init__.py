"""The gate: whatever anyone proposes runs in a sandbox here and comes back as `Evidence`."""
