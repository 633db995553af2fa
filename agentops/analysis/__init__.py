"""What went wrong in a run, and which other runs went wrong in the same way; read through `Reader` alone."""
