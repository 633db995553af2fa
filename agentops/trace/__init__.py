"""Spans: how a program says what it does, and how that lives beside the application's OpenTelemetry."""
