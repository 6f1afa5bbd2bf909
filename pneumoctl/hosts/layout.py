"""Paths on a host, time limits of steps, and the name under which plans address the operator's machine."""

OPERATOR = "operator"

ROOT = "/srv/pneumoctl"  # releases, environments and models
ETC = "/etc/pneumoctl"
STAMPS = "/var/lib/pneumoctl/stamps"  # digests of completed steps
UNITS = "/etc/systemd/system"
STAGED = "{staged}"  # replaced by the folder in which files are validated
COPY_S = 3600.0  # time limit for copying an offline bundle
INSTALL_S = 900.0  # time limit for installing packages
