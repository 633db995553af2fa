"""Finding what is sensitive in texts, and putting something else in its place."""
