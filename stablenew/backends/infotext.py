"""The infotext that pictures carry, for backends; it is read where packs of prompts are, too."""

from __future__ import annotations

from stablenew.config.infotext import infotext as infotext
from stablenew.config.infotext import read_infotext as read_infotext
from stablenew.config.infotext import with_adetailer as with_adetailer
