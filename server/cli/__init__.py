"""The `aqe` command."""
