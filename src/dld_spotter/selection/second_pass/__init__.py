"""Escalation: find words in a small view, then look again where that brings most.

Text covers a few per cent of most photos. Places that promise words are cut out of the reference, packed into one sheet and
read in a second pass, as closely as it pays, whose cost follows their area alone. What is imported here needs no torch;
:mod:`~dld_spotter.escalation.second_look` reads with a spotter, :mod:`~dld_spotter.escalation.probing` learns what to expect.
"""

from dld_spotter.escalation.gains import Gains
from dld_spotter.escalation.looking import likeliest, look_twice
from dld_spotter.escalation.places import Place, places
from dld_spotter.escalation.rule import Again, Escalation, choose
from dld_spotter.escalation.sheet import back, lay_out, pack

__all__ = ["Again", "Escalation", "Gains", "Place", "back", "choose", "lay_out", "likeliest", "look_twice", "pack", "places"]
