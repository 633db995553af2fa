"""`agentops run`: a program that nobody prepared, recorded from outside and from inside."""
