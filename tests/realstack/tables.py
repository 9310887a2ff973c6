"""Makes Neutron's tables from its models at once: `python tables.py DATABASE-URL`, in the installation of OpenStack.

Its migrations would go through ten years of releases first.
"""

from __future__ import annotations

import sys

import sqlalchemy
from neutron.db.migration.models import head

head.get_metadata().create_all(sqlalchemy.create_engine(sys.argv[1]))
