"""Taking in what was recorded elsewhere, by the way that all recording goes: a journal, then ingest."""
