"""The commands, a file a verb: parse, call, render."""
