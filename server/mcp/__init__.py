"""The MCP face: tools, a prompt and a resource on the official SDK, over stdio."""
