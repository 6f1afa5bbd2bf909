"""The AWS stack on one Debian machine: real terraform and real hosts against a stand-in for the AWS API."""
