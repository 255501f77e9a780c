"""Who decides the resolution, and how it learns."""
