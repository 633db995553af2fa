"""The terminal UI of agentops: found by the command line through an entry point."""
