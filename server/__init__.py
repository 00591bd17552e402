"""Faces: the `aqe` command, the MCP server over stdio and HTTP, reports."""
