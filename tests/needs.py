"""Why a test is skipped where something is missing, and how to get it: one line each."""

DATA = "PNEUMO_DATA does not name a folder of real X-rays"
TERRAFORM = "terraform is not on the PATH: install 1.10 or newer, https://developer.hashicorp.com/terraform/install"
PROVIDER = "terraform cannot get its AWS provider here: give it a network, or a mirror that TF_PLUGIN_MIRROR names"
ROOT = "only root can make networks and mounts: run the tests as root"
SYSTEMD = "systemd-analyze is not installed: apt-get install systemd"
CURL = "curl is not installed: apt-get install curl"
SSH = "OpenSSH is not installed: apt-get install openssh-server openssh-client"
