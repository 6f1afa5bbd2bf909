"""The lab's AWS: moto's server with patches for what it lacks, a record of every call, and faults to switch on.

Start it with `python -m tests.lab.api --host H --port P --state DIR`; every process is a separate AWS.
It reads an instance's console output from DIR/hosts/INSTANCE/console.log and records the calls in DIR/calls.jsonl.
The lab is controlled over HTTP on the same port, see `control`.
"""
