#!/bin/sh
# dpkg says "remove", rpm that no version stays (0). Anything else (an upgrade, one that failed, another package in the
# way) keeps who this machine is.
set -e
case "$1" in
    remove | 0) python3 {{ program }} uninstall ;;
esac
