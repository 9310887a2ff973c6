#!/bin/sh
# dpkg says "remove" or "upgrade", rpm how many versions stay. An upgrade keeps who this machine is.
set -e
case "$1" in
    upgrade | 1) exit 0 ;;
esac
python3 {{ program }} uninstall
