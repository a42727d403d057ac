"""Long work: many jobs on any engine, several processes as one, files written whole, one writer to a folder."""
