#!/bin/sh
# Makes the agent ready for the boot of each instance. On a machine that runs by systemd it starts at once; in an image
# that is only being built, it starts with the first boot.
set -e
python3 {{ program }} install --image {{ settings }}
