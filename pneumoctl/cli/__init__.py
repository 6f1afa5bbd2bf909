"""The command line, one module for each command: parse the arguments, call the code, render the result."""
