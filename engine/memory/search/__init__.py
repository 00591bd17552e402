"""One search over both sides: its scopes, how the sides are weighed, and what was found."""
