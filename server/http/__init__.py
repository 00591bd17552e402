"""The HTTP face: the same MCP server as streamable HTTP on loopback, behind a bearer token."""
