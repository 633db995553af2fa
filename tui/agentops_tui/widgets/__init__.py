"""Parts of a screen; each paints its own lines."""
