"""Integrations of agentops with client libraries: found through entry points."""
