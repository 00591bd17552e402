"""The demo: the main job on a small shop with planted bugs, over MCP, with a report at the end."""
