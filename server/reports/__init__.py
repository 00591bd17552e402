"""Reports as single HTML pages that need nothing from elsewhere."""
