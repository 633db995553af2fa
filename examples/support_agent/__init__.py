"""A customer-support agent that is traced by hand; start at `agent.py`."""
