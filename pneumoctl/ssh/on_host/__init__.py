"""The program that is sent to hosts. It runs on their own Python and imports nothing else of ours."""
