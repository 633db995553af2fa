"""Out of the store: formats and targets. They read the store through its reader."""
