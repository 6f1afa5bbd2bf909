"""The AWS stack on one Debian machine: real terraform and real hosts, with a simulated AWS API."""
