"""The command line: one small file a verb, flags made from dataclass fields, no logic of its own."""
