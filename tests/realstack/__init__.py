"""A real modern OpenStack on loopback, from PyPI, and our driver against it: `make test-openstack`."""
