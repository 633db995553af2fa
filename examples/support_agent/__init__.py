"""A customer-support agent, traced; start at `agent.py`."""
