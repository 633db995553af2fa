"""The flight recorder's tape: its format, its files, and reading them back."""
