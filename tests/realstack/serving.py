"""Serves one WSGI application on loopback: `python serving.py NAME MODULE PORT`, in the installation of OpenStack.

waitress, since gunicorn's arguments would be read by Keystone, and uWSGI's plain server cuts kept connections.
"""

from __future__ import annotations

import importlib
import sys

import waitress

name, module, port = sys.argv[1:]
sys.argv[:] = [name]  # Keystone and Neutron read their arguments when they are imported; Nova names its log by it
application = importlib.import_module(module).application
waitress.serve(application, host="127.0.0.1", port=int(port), threads=6)
