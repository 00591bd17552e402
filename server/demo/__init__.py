"""The demo: every agent on a small shop with planted flaws, over MCP, with a report at the end."""
