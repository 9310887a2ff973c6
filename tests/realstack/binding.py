"""A Neutron driver that binds every port: there is no switch under the fake computes, and so nothing to set up.

Runs inside Neutron, from its installation. Without it servers could have no network: Nova refuses an unbound port.
"""

from __future__ import annotations

from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class Binds(api.MechanismDriver):
    def initialize(self) -> None:
        """Nothing to prepare."""

    def bind_port(self, context: api.PortContext) -> None:
        segment = context.segments_to_bind[0]
        context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OTHER, {}, status="ACTIVE")
