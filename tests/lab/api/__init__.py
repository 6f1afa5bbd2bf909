"""The lab's AWS: moto's server with its gaps mended, every call counted, and faults to switch on.

Start it with `python -m tests.lab.api --host H --port P --state DIR`; one process is one AWS, independent of any other.
DIR/hosts/INSTANCE/console.log is what an instance's console says (read here); DIR/calls.jsonl is what was asked
(written here). The lab is steered over HTTP on the same port, see `control`.
"""
