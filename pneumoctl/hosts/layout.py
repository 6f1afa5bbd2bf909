"""Paths on a host, and the time that steps there may take."""

ROOT = "/srv/pneumoctl"


ETC = "/etc/pneumoctl"


STAMPS = "/var/lib/pneumoctl/stamps"


UNITS = "/etc/systemd/system"


STAGED = "{staged}"


BRING_S = 3600.0  # seconds that an offline bundle may take to its host


INSTALL_S = 900.0  # seconds that packages may take to come
